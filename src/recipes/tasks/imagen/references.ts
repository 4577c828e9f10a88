import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { matchWeights, openWeights } from '../../../checkpoints/index.ts'
import { ArgumentError } from '../../../core/errors.ts'
import { concat } from '../../../core/functions.ts'
import { input, type Tensor } from '../../../core/tensor.ts'
import { describedBy, type SceneDataset } from '../../../data/index.ts'
import { type ReferenceEncoderConfig, referenceEncoder, referenceEncoderConfig } from '../../../models/reference-encoder/index.ts'
import type { Params } from '../../../nn/params.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import type { Generator } from '../../../runtime/random.ts'
import { cleanCaption, withReferences } from '../../../text/index.ts'
import { type ScenesConfig, scenesOf } from '../../data.ts'
import { inMemory } from '../../stored.ts'
import { keptPictures, SMALL } from '../cascade/pictures.ts'

/** Pictures that prompts name, as tokens: fields of the `ReferenceEncoder`. */
export const referencesSchema = z.strictObject({
  image_size: z.int().positive().default(32),
  patch_size: z.int().positive().default(8),
  hidden_size: z.int().positive().default(128),
  num_layers: z.int().positive().default(2),
  num_attention_heads: z.int().positive().default(4),
  /** The share of prompts that name a picture for an object, `a [ref#1] on blue`; the others name one for the style. */
  subject_share: z.number().min(0).max(1).default(0.4),
  /** The share of prompts that are words alone. */
  text_share: z.number().min(0).max(1).default(0.2),
})

/** Where the encoder's parameters stand among those that learn. */
const SCOPE = 'references'

/** Wordings that are tried for a scene before another scene is taken. */
const WORDINGS = 20
/** Scenes that are tried before the data are taken to have no such prompt. */
const PATIENCE = 1000

/** A prompt, and the position of the picture that it names. */
interface Example {
  /** Of the scene that it asks for. */
  readonly position: number
  readonly text: string
  readonly other: number | undefined
}

interface Options {
  readonly fields: z.infer<typeof referencesSchema>
  readonly params: Params
  /** Of the text's states. */
  readonly width: number
  readonly batchSize: number
  readonly data: ScenesConfig
  readonly seed: number
  readonly pool: number
}

/**
 * Prompts of two kinds, beside words alone. Style from a picture, content from words: a caption that leaves the style out, `… in the
 * style of [ref#1]`, and another scene of the same style. An object from a picture: `a [ref#1] left of a donut`, and a scene of that
 * object alone, in the same style. A stage's context goes on with the picture's tokens; where there is none they are 0.
 */
export async function styleReferences({ fields, params, width, batchSize, data, seed, pool }: Options) {
  const { subject_share: subjects, text_share: words, ...sizes } = fields
  const config: ReferenceEncoderConfig = referenceEncoderConfig({ ...sizes, max_references: 1, output_size: width }, 'references')
  const side = config.image_size
  const encode = referenceEncoder(params.at(SCOPE), config)
  const small = await scenesOf(data, { size: Math.min(side, SMALL), seed })
  const pictureAt = keptPictures(small, side)
  const positionsOf = indexed(small, pool)

  /** A scene's prompt with a picture, where there is another scene to show. */
  function shown(dataset: SceneDataset, position: number, subject: boolean, generator: Generator): Example | undefined {
    const scene = dataset.sceneAt(position)
    const lone = scene.groups.filter(({ count }) => count === 1)
    const group = lone[generator.bits() % Math.max(1, lone.length)]
    if (subject && !group) return undefined
    const others = subject ? positionsOf(scene.style, group?.noun.icon.name) : positionsOf(scene.style)
    const other = others[generator.bits() % Math.max(1, others.length)]
    if (other === undefined || other === position) return undefined
    for (let tries = 0; tries < WORDINGS; tries++) {
      const caption = dataset.captionAt(position, generator.bits())
      const text = subject ? withoutWord(caption.text, group?.noun.words ?? []) : caption.text
      if (text === undefined || (!subject && describedBy(caption).style)) continue
      return { position, other, text: subject ? text : `${text} in the style of [ref#1]` }
    }
    return undefined
  }

  function example(dataset: SceneDataset, first: number, generator: Generator): Example {
    const [kind, which] = [...generator.rand([2]).data] as [number, number]
    const alone = (position: number) => ({ position, other: undefined, text: dataset.captionAt(position, generator.bits()).text })
    if (kind < words) return alone(first)
    for (let tries = 0, position = first; tries < PATIENCE; tries++, position = generator.bits() % pool) {
      const found = shown(dataset, position, which < subjects, generator)
      if (found) return found
    }
    throw new ArgumentError('references: no second picture of a style or an object: use more scenes, or other shares')
  }

  return {
    config,
    /** The text's states [B, M, D], and the pictures' behind them. */
    context: (states: Tensor): Tensor => {
      const tokens = encode(input('reference', [batchSize, 1, 3, side, side]))
      return concat([states, tokens.mul(input('referenceTold', [batchSize, 1, 1]))], 1)
    },
    /** Prompts for scenes, or for others where these have none: whose they are, as the encoder takes them, and the pictures that they name. */
    async draw(dataset: SceneDataset, first: readonly number[], generator: Generator) {
      const all = first.map((position) => example(dataset, position, generator))
      const nothing = NdArray.zeros([1, 3, side, side])
      const pictures = NdArray.concat(
        await Promise.all(all.map(({ other }) => (other === undefined ? nothing : pictureAt(other)))),
      )
      return {
        positions: all.map(({ position }) => position),
        prompts: all.map(({ text }) => text),
        texts: all.map(({ text, other }) => withReferences(text, other === undefined ? 0 : 1, cleanCaption)),
        named: all.map(({ other }) => other !== undefined),
        pictures: pictures.reshape([all.length, 1, 3, side, side]),
      }
    },
    /** Values of a trained stage, with its encoder of pictures or, from a stage of words alone, without. */
    start(folder: string): Map<string, NdArray> {
      const own = (part: string, prefix: string) => {
        const start = [...params.tensors].filter(([key]) => key.startsWith(`${SCOPE}.`) === (prefix !== ''))
        const expected = new Map(start.map(([key, tensor]) => [key.slice(prefix.length), tensor]))
        const found = inMemory(matchWeights(expected, openWeights(join(folder, part)), { place: join(folder, part) }))
        return [...found].map(([key, value]) => [prefix + key, value] as const)
      }
      const encoder = existsSync(join(folder, 'reference_encoder')) ? own('reference_encoder', `${SCOPE}.`) : []
      return new Map([...own('unet', ''), ...encoder])
    },
    /** The U-Net's weights, and the encoder's under its own names. */
    apart(weights: ReadonlyMap<string, NdArray>) {
      const start = `${SCOPE}.`
      const own = [...weights].filter(([key]) => key.startsWith(start))
      return {
        unet: new Map([...weights].filter(([key]) => !key.startsWith(start))),
        encoder: new Map(own.map(([key, value]) => [key.slice(start.length), value])),
      }
    },
  }
}
export type StyleReferences = Awaited<ReturnType<typeof styleReferences>>

/** Positions of the pool's scenes by their style, and of those with one object alone, by style and object. */
function indexed(dataset: SceneDataset, pool: number): (style: string, object?: string) => readonly number[] {
  const found = new Map<string, number[]>()
  const add = (key: string, position: number) => {
    const all = found.get(key)
    if (all) all.push(position)
    else found.set(key, [position])
  }
  for (let position = 0; position < pool; position++) {
    const { style, groups } = dataset.sceneAt(position)
    const [first] = groups
    add(style, position)
    if (groups.length === 1 && first?.count === 1) add(`${style} ${first.noun.icon.name}`, position)
  }
  return (style, object) => found.get(object === undefined ? style : `${style} ${object}`) ?? []
}

/** A caption with an object's word replaced by the marker, with its article; undefined where no word is there once. */
export function withoutWord(text: string, words: readonly string[]): string | undefined {
  for (const word of [...words].sort((a, b) => b.length - a.length)) {
    // Words are letters and blanks.
    const parts = text.split(new RegExp(`\\b(?:an? )?((?:small|little|tiny|large|big|huge) )?${word}\\b`))
    const [before, adjective = '', after] = parts
    if (parts.length === 3) return `${before}a ${adjective}[ref#1]${after}`
  }
  return undefined
}
