import { ArgumentError } from '../../core/errors.ts'
import type { Row } from './denoiser.ts'
import type { Loaded } from './loaded.ts'
import type { Settings } from './options.ts'

/** What the U-Net's batch is told. */
export interface Conditions {
  /** The negative prompt's and the prompt's; the prompt's alone where nothing guides. */
  readonly rows: readonly Row[]
  readonly guided: boolean
  /** The guidance that a distilled network is told: the scale less 1. */
  readonly embedded: number | undefined
}

export interface Size {
  readonly height: number
  readonly width: number
}

/** Encodes the prompts, with XL's sizes where the model takes them. */
export async function conditions(loaded: Loaded, settings: Settings, guidance: number, size: Size): Promise<Conditions> {
  const { components, xl } = loaded
  const { time_cond_proj_dim: distilled } = components.unet.config
  // A guidance of 1 or less is none, and a network that is told its guidance has it within.
  const guided = guidance > 1 && distilled === null
  const { positive, negative: empty } = await loaded.prompts.encode({ ...settings, guided })
  await loaded.done(loaded.prompts)
  const ids = xl ? timeIds(loaded, settings, size) : undefined
  const rows = [...(empty ? [{ ...empty, timeIds: ids?.negative }] : []), { ...positive, timeIds: ids?.positive }]
  return { rows, guided, embedded: distilled === null ? undefined : guidance - 1 }
}

/** XL's six numbers (Podell et al. 2024, section 2.2); the refiner's five end with an aesthetic score. */
function timeIds({ components }: Loaded, settings: Settings, { height, width }: Size) {
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
