import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import type { CogVideoXConfig, CogVideoXVaeConfig } from '../../models/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { checkSides, filmOptions, guidanceOption, maxLengthOption } from '../video/options.ts'

export const classes = ['CogVideoXPipeline', 'CogVideoXImageToVideoPipeline'] as const

export const options = z.object({
  ...filmOptions,
  guidance: guidanceOption.default(6),
  dynamic: z.boolean().default(false).meta({ description: 'guidance that grows from step to step' }),
  image: z.instanceof(NdArray).optional().meta({ media: 'picture', description: 'a picture to start from' }),
  maxLength: maxLengthOption,
})
export type Settings = z.output<typeof options>

/** What a run's shape depends on. */
export interface Model {
  readonly className: (typeof classes)[number]
  readonly place: string
  readonly config: CogVideoXConfig
  readonly vae: CogVideoXVaeConfig
}

/** A run's shape: sizes in pixels, latent frames with those that only fill up patches of time, and the frames that come of it. */
export interface Shape {
  readonly width: number
  readonly height: number
  /** Latent frames, of which the first `extra` are left out of the film. */
  readonly latentFrames: number
  readonly extra: number
  readonly frames: number
  readonly factor: number
}

/** @throws ArgumentError for what the model cannot make */
export function shapeOf({ className, place, config, vae }: Model, settings: Settings): Shape {
  const factor = 2 ** (vae.block_out_channels.length - 1)
  const ratio = vae.temporal_compression_ratio
  const still = className === 'CogVideoXImageToVideoPipeline'
  const { width = config.sample_width * factor, height = config.sample_height * factor } = settings
  checkSides({ width, height }, factor * config.patch_size)
  if (still && !settings.image) throw new ArgumentError(`${place} makes films of a first picture: give image (--image)`)
  if (!still && settings.image)
    throw new ArgumentError(`${place} is a ${className}, which takes no image; a CogVideoXImageToVideoPipeline does`)
  const asked = settings.frames ?? (still ? 49 : config.sample_frames)
  const own = Math.floor((asked - 1) / ratio) + 1
  const pairs = config.patch_size_t ?? 1
  const extra = (pairs - (own % pairs)) % pairs
  // The decoder takes a first frame of an odd number by itself; an even number's first is as long as the others.
  const frames = own === 1 || own % 2 === 1 ? (own - 1) * ratio + 1 : own * ratio
  return { width, height, latentFrames: own + extra, extra, frames, factor }
}

/** Tokens of a text: as many as the network has positions for, or else as diffusers' pipelines take. */
export const textLength = ({ config }: Pick<Model, 'config'>, { maxLength }: Settings): number =>
  maxLength ??
  (config.use_rotary_positional_embeddings && !config.use_learned_positional_embeddings ? 226 : config.max_text_seq_length)
