import { ArgumentError } from '../../core/errors.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { regionWeights } from '../conditioning/regions.ts'
import type { Size } from '../images/fit.ts'
import type { BatchEntry } from '../parts/denoiser.ts'
import { guidanceEmbedding } from '../parts/unet.ts'
import type { StableDiffusionModel } from './model.ts'
import type { Settings } from './options.ts'
import type { Condition, EncodedPrompts } from './prompts.ts'

/** What a run is conditioned on: the entries of the U-Net's batch, from some calls on others. */
export interface Conditions {
  readonly moments: readonly { readonly from: number; readonly entries: readonly BatchEntry[] }[]
  /** How strongly each prompt acts; several where AND joins them. */
  readonly weights: readonly number[]
  /** How much each prompt of parts of the picture counts where, and that of the whole, [1, R, h, w], where predictions are put together. */
  readonly composition?: NdArray<'f32'> | undefined
  /** Calls of the way before this run, which prompts that change count. */
  readonly offset: number
}

/** Conditions that stay the same. */
export const constantly = (entries: readonly BatchEntry[]): Conditions => ({
  moments: [{ from: 0, entries }],
  weights: [1],
  offset: 0,
})

/** With other entries made of these. */
export const withEntries = (
  given: Conditions,
  change: (entries: readonly BatchEntry[]) => readonly BatchEntry[],
): Conditions => ({
  ...given,
  moments: given.moments.map(({ from, entries }) => ({ from, entries: change(entries) })),
})

/** The entries at a call of the run's network. */
export const entriesAt = ({ moments, offset }: Conditions, call: number): readonly BatchEntry[] =>
  moments.findLast(({ from }) => from <= call + offset)?.entries ?? []

/** Calls of the network over which prompts change, and those of them that are made before this run. */
export interface Span {
  readonly calls: number
  readonly offset: number
}

/**
 * Encodes the prompts: the entries of the U-Net's batch, with XL's sizes where the model takes them. The negative prompt's and
 * the prompt's, or one for each that AND joins; the prompt's alone where nothing guides.
 */
export async function conditions(
  model: StableDiffusionModel,
  settings: Settings,
  guidance: number,
  size: Size,
  { calls, offset }: Span,
): Promise<Conditions> {
  const { unet, xl, components } = model
  const { time_cond_proj_dim: distilled } = unet.config
  // A guidance of 1 or less is none, and a network that is told its guidance has it within.
  const guided = guidance > 1 && distilled === null
  const { moments, weights } = await encoded(model, settings, guided, calls)
  const { regions, regionMode, regionBase } = settings
  const latents = { height: size.height / model.factor, width: size.width / model.factor }
  const maps = regions && regionWeights(regions, latents, regionBase)
  const seen = maps && regionMode === 'attention' ? maps : undefined
  if (weights.length > 1 && distilled !== null)
    throw new ArgumentError(`prompt: AND joins prompts by their guidance, and ${components.place} has it within: leave AND out`)
  await model.done(model.prompts)
  const ids = xl ? timeIds(model, settings, size) : undefined
  const timestepCondition = distilled === null ? undefined : guidanceEmbedding(guidance - 1, distilled)
  const entry = ({ context, pooled }: Condition, own: readonly number[] | undefined): BatchEntry => ({
    context,
    ...(own && { textEmbeds: pooled, timeIds: NdArray.from(own, [1, own.length]) }),
    ...(timestepCondition && { timestepCondition }),
  })
  return {
    weights,
    ...(maps && !seen && { composition: maps }),
    offset,
    moments: moments.map(({ from, negative, positive }) => ({
      from,
      entries: seen
        ? [
            ...(negative ? [{ ...entry(repeated(negative, positive.length), ids?.negative), regions: firstAlone(seen) }] : []),
            { ...entry(oneAfterAnother(positive), ids?.positive), regions: seen },
          ]
        : [
            ...(negative ? [entry(negative, ids?.negative)] : []),
            ...positive.map((condition) => entry(condition, ids?.positive)),
          ],
    })),
  }
}

/** Prompts of the whole picture and of its parts as one context; the pooled text is the whole picture's. */
const oneAfterAnother = (all: readonly Condition[]): Condition => ({
  context: NdArray.concat(
    all.map(({ context }) => context),
    1,
  ),
  pooled: all[0]?.pooled,
})

/** As long as a context of so many prompts. */
const repeated = (one: Condition, times: number): Condition => ({
  ...oneAfterAnother(Array<Condition>(times).fill(one)),
  pooled: one.pooled,
})

/** Every pixel sees the first prompt alone. */
const firstAlone = (weights: NdArray<'f32'>): NdArray<'f32'> => {
  const each = (weights.shape[2] as number) * (weights.shape[3] as number)
  return weights.map((_, i) => (i < each ? 1 : 0))
}

/** The prompts' conditions, or those that are given in their place. */
async function encoded(
  { prompts, xl }: StableDiffusionModel,
  settings: Settings,
  guided: boolean,
  calls: number,
): Promise<EncodedPrompts> {
  const { promptEmbeds, negativePromptEmbeds, pooledPromptEmbeds, negativePooledPromptEmbeds } = settings
  const regions = settings.regions?.map(({ prompt }) => prompt)
  if (!promptEmbeds) return prompts.encode({ ...settings, regions, guided, calls })
  const context = oneOf('promptEmbeds', promptEmbeds, 3)
  const positive = { context, pooled: xl ? oneOf('pooledPromptEmbeds', pooledPromptEmbeds, 2) : undefined }
  const moment = (negative: Condition | undefined): EncodedPrompts => ({
    moments: [{ from: 0, negative, positive: [positive] }],
    weights: [1],
  })
  if (!guided) return moment(undefined)
  if (negativePromptEmbeds) {
    const own = oneOf('negativePromptEmbeds', negativePromptEmbeds, 3)
    if (own.shape[1] !== context.shape[1])
      throw new ArgumentError(`negativePromptEmbeds: ${own.shape[1]} tokens, and promptEmbeds ${context.shape[1]}: give as many`)
    return moment({ context: own, pooled: xl ? oneOf('negativePooledPromptEmbeds', negativePooledPromptEmbeds, 2) : undefined })
  }
  const { moments } = await prompts.encode({ ...settings, regions: undefined, prompt: '', prompt2: undefined, guided, calls })
  const negative = moments[0]?.negative as Condition
  if (moments.length > 1) throw new ArgumentError('negative: beside promptEmbeds it stays the same over all steps')
  if (negative.context.shape[1] !== context.shape[1]) {
    const [own, other] = [negative.context.shape[1], context.shape[1]]
    throw new ArgumentError(`promptEmbeds: ${other} tokens, and the negative prompt ${own}: give negativePromptEmbeds too`)
  }
  return moment(negative)
}

/** An embedding of one text, for all pictures. */
function oneOf(name: string, given: NdArray | undefined, rank: number): NdArray<'f32'> {
  if (given?.shape.length === rank && given.shape[0] === 1) return given.cast('f32')
  const wanted = rank === 3 ? '[1, tokens, width]' : '[1, width]'
  throw new ArgumentError(`${name}: expected ${wanted}${given ? `, got [${given.shape.join(', ')}]` : ''}`)
}

/** XL's six numbers (Podell et al. 2024, section 2.2); the refiner's five end with an aesthetic score. */
function timeIds({ components }: StableDiffusionModel, settings: Settings, { height, width }: Size) {
  const { unet, text, options } = components
  const { crop, negativeCrop, aesthetic, negativeAesthetic, negativeOriginalSize, negativeTargetSize } = settings
  const original = settings.originalSize ?? [height, width]
  const target = settings.targetSize ?? [height, width]
  const scored = options.requires_aesthetics_score === true
  // From text alone, diffusers takes the negative sizes both or not at all.
  const given = settings.image !== undefined || settings.latents !== undefined
  const own = scored || given || (negativeOriginalSize !== undefined && negativeTargetSize !== undefined)
  const ids = {
    positive: [...original, ...crop, ...(scored ? [aesthetic] : target)],
    negative: [
      ...((own && negativeOriginalSize) || original),
      ...(own && (scored || !given) ? negativeCrop : crop),
      ...(scored ? [negativeAesthetic] : (own && negativeTargetSize) || target),
    ],
  }
  const { addition_time_embed_dim: each, projection_class_embeddings_input_dim: all } = unet.config
  const pooled = text.at(-1)?.config.projection_dim as number
  const width_ = (each as number) * ids.positive.length + pooled
  if (all !== null && width_ !== all) {
    throw new ArgumentError(
      `${components.place}: the U-Net takes ${all} added numbers (projection_class_embeddings_input_dim) and gets ${width_}: ` +
        `requires_aesthetics_score in model_index.json or projection_dim of the text encoder belong to another model`,
    )
  }
  return ids
}
