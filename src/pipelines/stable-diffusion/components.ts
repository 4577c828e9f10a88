import type { Json } from '../../checkpoints/json.ts'
import type { SchedulerConfig } from '../../diffusion/index.ts'
import type { OpenedNetwork } from '../open/network.ts'
import { openSource } from '../open/open.ts'
import { network, openParts, optional, type PartsOf, scheduler } from '../open/parts.ts'
import type { ModelSource, OpenOptions } from '../open/source.ts'
import { type LatentNetwork, latentAutoencoder } from '../parts/autoencoder.ts'
import { clipImageEncoder, type ImageEncoder } from '../parts/image-encoder.ts'
import { clipTextEncoder, type TextEncoder } from '../parts/text-encoder.ts'
import { checkClass, families } from './families.ts'

/** What every pipeline of Stable Diffusion may have. */
export const stableDiffusionParts = {
  unet: network(['UNet2DConditionModel']),
  vae: latentAutoencoder(),
  text_encoder: optional(clipTextEncoder('tokenizer')),
  text_encoder_2: optional(clipTextEncoder('tokenizer_2', ['CLIPTextModelWithProjection'])),
  image_encoder: optional(clipImageEncoder()),
  scheduler: scheduler(),
  low_res_scheduler: optional(scheduler()),
}

/** What a checkpoint of Stable Diffusion holds. */
export interface Components {
  /** What errors and pictures call it. */
  readonly place: string
  /** diffusers' pipeline class. */
  readonly className: string
  /** `model_index.json` beside the components, as `force_zeros_for_empty_prompt`. */
  readonly options: Readonly<Json>
  readonly unet: OpenedNetwork<'UNet2DConditionModel'>
  readonly vae: LatentNetwork
  /** In the order in which XL joins them; the refiner has only its second, and variations need none. */
  readonly text: readonly TextEncoder[]
  /** What sees the pictures that IP-Adapters and variations are given. */
  readonly imageEncoder?: ImageEncoder | undefined
  readonly scheduler: SchedulerConfig
  /** How the ×4 upscaler adds noise to the picture that it is given. */
  readonly lowResScheduler: SchedulerConfig | undefined
}

/** @throws ConfigError where neither a text nor a picture can condition the model */
export function componentsOf(parts: PartsOf<typeof stableDiffusionParts>, source: ModelSource): Components {
  const { unet, vae, text_encoder: first, text_encoder_2: second, image_encoder: imageEncoder, scheduler } = parts
  const { place, className, fields } = source
  const text = [first, second].filter((one) => one !== undefined)
  const needed = families[className]?.task === 'variation' ? 'image_encoder' : 'text_encoder'
  // Asked for, the source says what is missing.
  if (text.length === 0 && !source.has(needed)) source.network(needed, [])
  return {
    place,
    className,
    options: fields,
    unet,
    vae: vae as LatentNetwork,
    text,
    imageEncoder,
    scheduler,
    lowResScheduler: parts.low_res_scheduler,
  }
}

/**
 * Opens a checkpoint of Stable Diffusion: a folder in diffusers' layout, a single-file checkpoint, a bundled model, or a name on
 * the hub. No weight is read yet, but every key and shape is held against its network.
 *
 * @throws FolderError, ConfigError, ModelConfigError, CheckpointError, SafetensorsError, PickleError, SchedulerConfigError,
 * HubError: what is wrong with which file
 */
export async function openComponents(model: string, options: OpenOptions = {}): Promise<Components> {
  const source = await openSource(model, options)
  checkClass(source)
  return componentsOf(await openParts(source, stableDiffusionParts, options), source)
}
