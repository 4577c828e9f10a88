import { ArgumentError } from '../core/errors.ts'
import { type ComposedScene, contentOf, type SceneCaption, type SceneDataset } from '../data/index.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import { type ScenesConfig, scenesOf } from './data.ts'

/**
 * The captioned scenes that text-to-image models are measured on, the same for every model of the same data:
 *
 * - `validation`: what guidance and recipes are chosen by;
 * - `test`: what is reported, once all is chosen;
 * - `pairs`: reported too: two objects that training never shows together.
 *
 * Captions of `validation` and `test` are worded in ways that training does not use; those of `pairs` as in training.
 */
export const heldOutSets = ['validation', 'test', 'pairs'] as const
export type HeldOutSetName = (typeof heldOutSets)[number]

/** Scenes in each set. */
export const HELD_OUT = 500

/**
 * No held-out scene is among the first so many training scenes of seed 0, which `stickers-t2i` learns from. Of other positions and
 * seeds it is the training scenes that give way.
 */
export const TRAINED = 8192

const seeds: Readonly<Record<HeldOutSetName, number>> = { validation: 20_000, test: 40_000, pairs: 40_000 }

/** Scenes with their captions. */
export interface HeldOutSet {
  readonly name: HeldOutSetName
  readonly captions: readonly string[]
  readonly scenes: readonly ComposedScene[]
  /** What each caption describes. */
  readonly details: readonly SceneCaption[]
  /** @deprecated Read `details`, which is the same. */
  readonly told: readonly SceneCaption[]
  /** Draws scenes: [B, 3, size, size]. */
  render(scenes: readonly ComposedScene[]): NdArray<'f32'>
}

/** A held-out set of scenes, `count` of them at most. */
export async function heldOutSet(
  data: ScenesConfig,
  name: HeldOutSetName,
  { size, count = HELD_OUT }: { readonly size: number; readonly count?: number },
): Promise<HeldOutSet> {
  const taken = await takenBefore(data, name)
  const { dataset, positions } = await chosen(data, name, size, taken)
  const own = positions.slice(0, count)
  const details = own.map((position) => dataset.captionAt(position))
  return {
    name,
    captions: details.map(({ text }) => text),
    scenes: own.map(dataset.sceneAt),
    details,
    told: details,
    render: dataset.render,
  }
}

/**
 * The scenes to learn from. None has the content of a scene of `validation` or `test`. Where objects stand anywhere, rather than on
 * a grid, two scenes are never the same, and none is left out.
 */
export async function trainingScenes(
  data: ScenesConfig,
  { size, seed }: { readonly size: number; readonly seed: number },
): Promise<SceneDataset> {
  if (!data.lattice) return scenesOf(data, { size, seed })
  const { contents } = await takenBefore(data, 'pairs')
  return scenesOf(data, { size, seed, exclude: (scene) => contents.has(contentOf(scene)) })
}

interface Taken {
  readonly trained: ReadonlySet<string>
  /** Of the sets before. */
  readonly contents: ReadonlySet<string>
  readonly captions: ReadonlySet<string>
}

/** What the sets before one of them have taken: a set holds nothing of those before it. */
async function takenBefore(data: ScenesConfig, name: HeldOutSetName): Promise<Taken> {
  const key = `${name} ${JSON.stringify(data)}`
  const known = remembered.get(key)
  if (known) return known
  const found = (async () => {
    const before = heldOutSets[heldOutSets.indexOf(name) - 1]
    if (before === undefined) {
      const training = await scenesOf(data, { size: 1, seed: 0 })
      const trained = new Set(Array.from({ length: TRAINED }, (_, position) => contentOf(training.sceneAt(position))))
      return { trained, contents: new Set<string>(), captions: new Set<string>() }
    }
    const taken = await takenBefore(data, before)
    const { dataset, positions } = await chosen(data, before, 1, taken)
    return {
      trained: taken.trained,
      contents: new Set([...taken.contents, ...positions.map((position) => contentOf(dataset.sceneAt(position)))]),
      captions: new Set([...taken.captions, ...positions.map((position) => dataset.captionAt(position).text)]),
    }
  })()
  remembered.set(key, found)
  return found
}
const remembered = new Map<string, Promise<Taken>>()

/** The first positions whose scene and caption nothing has had before. */
async function chosen(data: ScenesConfig, name: HeldOutSetName, size: number, { trained, contents, captions }: Taken) {
  const dataset = await scenesOf(data, {
    ...{ size, seed: seeds[name], split: name === 'pairs' ? 'pairs' : 'phrasings' },
    exclude: (scene) => {
      const content = contentOf(scene)
      return trained.has(content) || contents.has(content)
    },
  })
  const positions: number[] = []
  const [ownContents, ownCaptions] = [new Set<string>(), new Set(captions)]
  for (let position = 0; positions.length < HELD_OUT; position++) {
    const [content, { text }] = [contentOf(dataset.sceneAt(position)), dataset.captionAt(position)]
    if (position >= 100 * HELD_OUT)
      throw new ArgumentError(
        `scenes: fewer than ${HELD_OUT} held-out scenes with captions of their own; use more nouns or styles`,
      )
    if (ownContents.has(content) || ownCaptions.has(text)) continue
    ownContents.add(content)
    ownCaptions.add(text)
    positions.push(position)
  }
  return { dataset, positions }
}
