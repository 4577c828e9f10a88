import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import type { SchedulerConfig } from '../../diffusion/index.ts'
import type { PixartConfig } from '../../models/index.ts'
import type { Size } from '../images/fit.ts'
import { numOption, schedulerOption, seedOption, stepsOption } from '../options.ts'
import type { LatentCoder } from '../parts/autoencoder.ts'
import { schedulerFor } from '../sampling/schedulers.ts'
import { binOf, hasBins } from './bins.ts'

const pixels = z.int().positive().optional()
export const options = z.object({
  prompt: z.string().meta({ description: 'what the picture shows' }),
  negative: z.string().default('').meta({ description: 'what it does not show' }),
  steps: stepsOption.default(20),
  guidance: z.number().default(4.5).meta({ description: 'how strongly the prompt guides; 1 or less is not at all' }),
  seed: seedOption,
  width: pixels.meta({ description: "in pixels; the model's own unless given" }),
  height: pixels.meta({ description: 'in pixels' }),
  num: numOption,
  scheduler: schedulerOption,
  eta: z.number().min(0).max(1).default(0).meta({ description: 'noise that ddim and tcd renew' }),
  clean: z.boolean().default(true).meta({
    description: 'clean the prompt as captions of training were: addresses, numbers of articles, file names and brackets go',
  }),
  binning: z.boolean().default(true).meta({
    description: 'make the picture at the nearest of the sizes that the model was trained on, then scale and crop it',
  }),
  maxLength: z.int().min(1).max(4096).optional().meta({
    description: "tokens of T5 that the prompt is cut or padded to; as many as the model's own pipeline takes unless given",
  }),
})
export type Settings = z.output<typeof options>

/** What the classes differ in: tokens of a text, and the largest `sample_size` with sizes to choose from. */
export const classes = {
  PixArtAlphaPipeline: { tokens: 120, largest: 128 },
  PixArtSigmaPipeline: { tokens: 300, largest: 256 },
} as const

/** What a run's size and scheduler depend on. */
interface Model {
  readonly className: keyof typeof classes
  readonly place: string
  readonly config: PixartConfig
  readonly latents: LatentCoder
  readonly scheduler: SchedulerConfig
}

/** The sampler of a run. */
export const schedulerOf = ({ className, scheduler }: Model, { scheduler: chosen }: Pick<Settings, 'scheduler'>) =>
  schedulerFor(className, scheduler, chosen)

/** The size that is asked for, and the one that the picture is made at. @throws ArgumentError */
export function sizesOf(
  { className, place, config, latents }: Model,
  { width, height, binning }: Settings,
): Record<'asked' | 'made', Size> {
  const { sample_size: side, patch_size: patch } = config
  const own = side * latents.factor
  const asked = { height: height ?? own, width: width ?? own }
  if (binning) {
    if (hasBins(side, classes[className].largest)) return { asked, made: binOf(asked, side) }
    throw new ArgumentError(
      `${place}: no sizes to choose from are known for a ${className} of sample_size ${side}; set binning to false (--no-binning)`,
    )
  }
  const unit = Math.max(8, latents.factor * patch)
  if (asked.height % unit === 0 && asked.width % unit === 0) return { asked, made: asked }
  throw new ArgumentError(`width and height must be multiples of ${unit} without binning; got ${asked.width} × ${asked.height}`)
}
