import { ArgumentError } from '../../core/errors.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { Size } from '../images/fit.ts'
import type { BatchEntry } from '../parts/denoiser.ts'
import { guidanceEmbedding } from '../parts/unet.ts'
import type { StableDiffusionModel } from './model.ts'
import type { Settings } from './options.ts'
import type { Condition } from './prompts.ts'

/**
 * Encodes the prompts: the entries of the U-Net's batch, with XL's sizes where the model takes them. The negative prompt's and
 * the prompt's; the prompt's alone where nothing guides.
 */
export async function conditions(
  model: StableDiffusionModel,
  settings: Settings,
  guidance: number,
  size: Size,
): Promise<BatchEntry[]> {
  const { unet, xl, prompts } = model
  const { time_cond_proj_dim: distilled } = unet.config
  // A guidance of 1 or less is none, and a network that is told its guidance has it within.
  const guided = guidance > 1 && distilled === null
  const { positive, negative } = await prompts.encode({ ...settings, guided })
  await model.done(prompts)
  const ids = xl ? timeIds(model, settings, size) : undefined
  const timestepCondition = distilled === null ? undefined : guidanceEmbedding(guidance - 1, distilled)
  const entry = ({ context, pooled }: Condition, own: readonly number[] | undefined): BatchEntry => ({
    context,
    ...(own && { textEmbeds: pooled, timeIds: NdArray.from(own, [1, own.length]) }),
    ...(timestepCondition && { timestepCondition }),
  })
  return [...(negative ? [entry(negative, ids?.negative)] : []), entry(positive, ids?.positive)]
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
