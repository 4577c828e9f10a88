import { ArgumentError } from '../../core/errors.ts'
import type { Tensor } from '../../core/tensor.ts'
import type { Scheduler } from '../../diffusion/index.ts'
import { HINT_CHANNELS } from '../../models/index.ts'
import type { Size } from '../images/fit.ts'
import { autoencoder, network, optional, type PartsOf, scheduler } from '../open/parts.ts'
import type { Opened, Releasable } from '../page.ts'
import { type LatentCoder, latentCoder } from '../parts/autoencoder.ts'
import { type Denoiser, denoiser, type Trace } from '../parts/denoiser.ts'
import { clipImageEncoder } from '../parts/image-encoder.ts'
import { clipTextEncoder } from '../parts/text-encoder.ts'
import { schedulerFor } from '../sampling/schedulers.ts'
import type { KandinskySettings } from './options.ts'
import { type KandinskyPrior, kandinskyPrior, openPrior, priorClasses } from './prior.ts'

/** What a decoder's folder has, and a combined one's prior. */
export const decoderParts = {
  unet: network(['UNet2DConditionModel']),
  movq: autoencoder(['VQModel']),
  scheduler: scheduler(),
  prior_prior: optional(network(['PriorTransformer'])),
  prior_text_encoder: optional(clipTextEncoder('prior_tokenizer', ['CLIPTextModelWithProjection'])),
  prior_image_encoder: optional(clipImageEncoder('prior_image_processor')),
  prior_scheduler: optional(scheduler()),
}

/** What the decoder does beside drawing from a prompt, by what its network sees. */
export type Sight = 'latents' | 'masked' | 'hint'

export interface KandinskyModel extends Releasable {
  readonly className: string
  readonly place: string
  readonly prior: KandinskyPrior | undefined
  readonly network: Denoiser
  readonly latents: LatentCoder
  readonly sight: Sight
  /** Sizes of latents are multiples of it. */
  readonly unit: number
  schedulerOf(settings: Pick<KandinskySettings, 'scheduler'>): Scheduler
  done(part: Releasable): Promise<void>
}

/** The U-Net sees the picture's embedding in its tokens and beside the time; there is no other context. */
const trace: Trace<'UNet2DConditionModel'> = (run, { sample, timestep, imageEmbeds, hint }) =>
  run(sample as Tensor, timestep as Tensor, (imageEmbeds as Tensor).unsqueeze(1), { imageEmbeds, hint })

export async function openModel(parts: PartsOf<typeof decoderParts>, opened: Opened): Promise<KandinskyModel> {
  const { unet, movq, scheduler } = parts
  const { source, load, compile, done } = opened
  const { config, place } = unet
  const fault = (text: string) => new ArgumentError(`${place}: ${text}`)
  if (config.encoder_hid_dim_type !== 'image_proj' || !config.addition_embed_type?.startsWith('image'))
    throw fault(`it takes no picture's embedding: encoder_hid_dim_type is ${config.encoder_hid_dim_type}, expected image_proj`)
  // Latents are neither scaled nor brought to their codes here.
  const latents = latentCoder({ ...movq, config: { ...movq.config, scaling_factor: 1 } }, { ...compile, codes: false })
  const { channels } = latents
  const more = config.in_channels - channels
  const sight = config.addition_embed_type === 'image_hint' ? 'hint' : more === 0 ? 'latents' : 'masked'
  const expected = { latents: 0, masked: channels + 1, hint: HINT_CHANNELS }[sight]
  if (more !== expected)
    throw fault(
      `in_channels is ${config.in_channels}; the autoencoder has latents of ${channels}, and ${expected} more are expected`,
    )
  if (config.out_channels !== 2 * channels)
    throw fault(`out_channels is ${config.out_channels}; expected ${2 * channels}, with learned variances`)
  const prior = await priorOf(parts, opened)
  if (prior && prior.width !== config.encoder_hid_dim)
    throw fault(`it takes embeddings of ${config.encoder_hid_dim} channels, and the prior makes some of ${prior.width}`)
  const network = denoiser(unet, trace, compile, { quantize: load.quantize })
  return {
    ...{ className: source.className, place: source.place, prior, network, latents, sight, done },
    unit: 2 ** (config.block_out_channels.length - 1),
    schedulerOf: ({ scheduler: chosen }) => schedulerFor(source.className, scheduler, chosen),
    async release() {
      for (const part of [prior, network, latents]) await part?.release()
    },
  }
}

/** The prior that is named, or the folder's own. */
async function priorOf(
  { prior_prior, prior_text_encoder, prior_image_encoder, prior_scheduler }: PartsOf<typeof decoderParts>,
  opened: Opened,
): Promise<KandinskyPrior | undefined> {
  const { load, source } = opened
  if (load.prior !== undefined) return openPrior(load.prior, load)
  if (!prior_prior && !source.className.includes('Combined')) return undefined
  if (!prior_prior || !prior_text_encoder || !prior_image_encoder || !prior_scheduler)
    throw new ArgumentError(`${source.place} lacks a part of its prior; name another folder's with prior (--prior)`)
  const own = {
    prior: prior_prior,
    text_encoder: prior_text_encoder,
    image_encoder: prior_image_encoder,
    scheduler: prior_scheduler,
  }
  return kandinskyPrior(own, opened, priorClasses[0])
}

/** A side as the latents of text to picture have it, and of in-painting: up to a whole number of factor². */
const roundedUp = (side: number, factor: number) => Math.ceil(side / factor ** 2) * factor

/** The latents' size of a run. @throws ArgumentError for one that the network cannot halve as often as it does */
export function latentSize({ latents: { factor }, unit, place }: KandinskyModel, { width, height }: Size, down: boolean): Size {
  const of = (side: number) => (down ? Math.floor(side / factor) : roundedUp(side, factor))
  const size = { height: of(height), width: of(width) }
  if (size.height % unit === 0 && size.width % unit === 0 && size.height > 0 && size.width > 0) return size
  const least = Math.max(unit * factor, factor ** 2)
  throw new ArgumentError(`width and height must be multiples of ${least} for ${place}; got ${width} × ${height}`)
}
