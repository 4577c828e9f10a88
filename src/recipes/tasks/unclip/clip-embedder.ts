import { ArgumentError } from '../../../core/errors.ts'
import { input } from '../../../core/tensor.ts'
import { clipTextWithProjection, clipVisionWithProjection } from '../../../models/clip/index.ts'
import { Params } from '../../../nn/params.ts'
import { clipNormalised, openNetwork, storedIn } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { compile } from '../../../runtime/program.ts'
import { Programs } from '../../../runtime/programs.ts'
import type { Weights } from '../../../runtime/weights.ts'
import { ClipTokenizer } from '../../../text/index.ts'
import { inMemory } from '../../stored.ts'

/** Texts as a prior takes them: [N, D], [N, M, D], and 1 for a text's own tokens in [N, M]. */
export interface EmbeddedTexts {
  readonly textEmbeds: NdArray<'f32'>
  readonly context: NdArray<'f32'>
  readonly contextMask: NdArray<'f32'>
}

/**
 * A CLIP whose embeddings are a model's data, with its length left as it is. Priors and decoders need embeddings as wide as texts' states:
 * where a CLIP's are narrower, zeros fill them, which changes no product of two.
 */
export interface ClipEmbedder {
  readonly place: string
  /** Width of embeddings, and of texts' states; tokens of a text; pixels a side. */
  readonly width: number
  readonly length: number
  readonly side: number
  texts(texts: readonly string[]): Promise<EmbeddedTexts>
  /** Pictures [N, 3, S, S] in [−1, 1] → [N, D]. */
  pictures(images: NdArray<'f32'>): Promise<NdArray<'f32'>>
  readonly weights: Weights
  /** Both halves as transformers' models with projections. */
  readonly stored: Record<'text' | 'vision', { readonly config: Readonly<Record<string, unknown>>; readonly weights: Weights }>
}

/** @throws ArgumentError for a CLIP whose embeddings are wider than its texts' states */
export function openClipEmbedder(folder: string): ClipEmbedder {
  const { config, weights: stored, place } = openNetwork(storedIn(folder, ['CLIPModel']))
  const { initializer_factor, text_config, vision_config } = config
  const projection_dim = text_config.hidden_size
  if (projection_dim < config.projection_dim)
    throw new ArgumentError(
      `${place}: its texts have states of ${projection_dim} channels and embeddings of ${config.projection_dim}; a prior needs both alike: train a CLIP whose projection_dim is its hidden_size, or less`,
    )
  const weights = projection_dim === config.projection_dim ? stored : widened(stored, projection_dim)
  const tokenizer = ClipTokenizer.open(folder)
  const text = { ...text_config, projection_dim, initializer_factor }
  const vision = { ...vision_config, projection_dim, initializer_factor }
  const length = Math.min(tokenizer.maxLength, text.max_position_embeddings)
  const programs = new Programs((key: string) => {
    const [side, count] = JSON.parse(key) as ['texts' | 'pictures', number]
    if (side === 'texts') {
      const { textEmbeds, lastHiddenState } = clipTextWithProjection(new Params(), text)(input('tokens', [count, length], 'i64'))
      return compile({ outputs: { textEmbeds, context: lastHiddenState }, weights })
    }
    const images = input('images', [count, vision.num_channels, vision.image_size, vision.image_size])
    return compile({
      outputs: { made: clipVisionWithProjection(new Params(), vision)(clipNormalised(images)).imageEmbeds },
      weights,
    })
  }, 4)
  const half = (pattern: RegExp) => new Map([...weights].filter(([key]) => pattern.test(key)))
  const { initializer_factor: _, ...textFields } = text
  const { initializer_factor: __, ...visionFields } = vision
  return {
    ...{ place, weights, width: projection_dim, length, side: vision.image_size },
    async texts(texts) {
      const coded = texts.map((one) => tokenizer.encode(one))
      const ids = coded.flatMap((one) => tokenizer.frame(one, length))
      const tokens = new NdArray(BigInt64Array.from(ids, BigInt), [texts.length, length], 'i64')
      const program = await programs.get(JSON.stringify(['texts', texts.length]))
      const { textEmbeds, context } = (await program.run({ tokens })) as Record<string, NdArray<'f32'>>
      const mask = Float32Array.from({ length: texts.length * length }, (_, i) =>
        i % length < Math.min(length, (coded[Math.floor(i / length)] as number[]).length + 2) ? 1 : 0,
      )
      const contextMask = new NdArray(mask, [texts.length, length], 'f32')
      return { textEmbeds: textEmbeds as NdArray<'f32'>, context: context as NdArray<'f32'>, contextMask }
    },
    async pictures(images) {
      const program = await programs.get(JSON.stringify(['pictures', images.shape[0]]))
      return (await program.run({ images })).made as NdArray<'f32'>
    },
    stored: {
      text: { config: { model_type: 'clip_text_model', ...textFields }, weights: half(/^text_(model|projection)\./) },
      vision: {
        config: { model_type: 'clip_vision_model', ...visionFields },
        weights: half(/^(vision_model|visual_projection)\./),
      },
    },
  }
}

/** Rows of zeros under both projections, so that they give embeddings of that width. */
function widened(weights: Weights, width: number): Weights {
  return new Map(
    [...weights].map(([key, value]) => {
      if (!/^(text|visual)_projection\.weight$/.test(key)) return [key, value]
      const [own] = inMemory(new Map([[key, value]])).values()
      const [rows, columns] = (own as NdArray).shape as [number, number]
      return [key, NdArray.concat([own as NdArray, NdArray.zeros([width - rows, columns])])]
    }),
  )
}
