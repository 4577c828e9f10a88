import { z } from 'zod'
import { ArgumentError } from '../../../core/errors.ts'
import { checkOneOf } from '../../stored.ts'
import { captionedFields, checkLayoutHead, checkOrder } from './fields.ts'

/** What recipes of latent diffusion say of noise. */
export const noiseFields = {
  scheduler: z
    .strictObject({
      num_train_timesteps: z.int().positive().default(1000),
      beta_start: z.number().positive().default(0.00085),
      beta_end: z.number().positive().default(0.012),
      /** That of Stable Diffusion, `scaled_linear`, leaves some signal in the last level, which sampling starts without. */
      beta_schedule: z.enum(['linear', 'scaled_linear', 'squaredcos_cap_v2']).default('squaredcos_cap_v2'),
      prediction_type: z.enum(['epsilon', 'v_prediction']).default('v_prediction'),
    })
    .prefault({}),
  /**
   * From step `from` of the run on, until the next of the list takes over, timesteps from `begin` to before `end` are drawn `multiplier`
   * times as often: those at which objects take their shapes first, say, and those at which they get their places later.
   */
  timestep_bias: z
    .array(
      z.strictObject({
        from: z.int().min(0).default(0),
        begin: z.int().min(0),
        end: z.int().positive(),
        multiplier: z.number().positive(),
      }),
    )
    .default([]),
  /** γ of min-SNR; null weighs all levels alike, by which those with more noise count for more. */
  snr_gamma: z.number().positive().nullable().default(5),
}

/** The denoiser of a latent diffusion model. Fields of the network and the scheduler are diffusers'. */
export const textToImageSchema = z.object({
  ...captionedFields,
  /** Folder or name of the CLIP whose text encoder reads captions, which is trained before. */
  clip: z.string().default('stickers-clip'),
  /** The network, where it does not come with a `pretrained` pipeline. */
  unet: z.record(z.string(), z.unknown()).optional(),
  /** A pipeline that goes on, by its folder or name, with its own text encoder in place of `clip`: fine-tuning. */
  pretrained: z.string().optional(),
  ...noiseFields,
})
export type TextToImage = z.infer<typeof textToImageSchema>

/** @throws ArgumentError for fields that don't go together */
export function checkRecipe({ unet, pretrained, ...recipe }: TextToImage): void {
  checkOneOf('text-to-image', { unet, pretrained })
  checkLayoutHead(recipe)
  checkBiases(recipe)
}

/** @throws ArgumentError for ranges that are none, or not in the order of their steps */
export function checkBiases({
  timestep_bias: biases,
  scheduler,
}: Pick<TextToImage, 'timestep_bias'> & { readonly scheduler: { readonly num_train_timesteps: number } }): void {
  const { num_train_timesteps: steps } = scheduler
  for (const { begin, end } of biases)
    if (!(begin < end && end <= steps))
      throw new ArgumentError(`timestep_bias: ${begin} to ${end} is no range of ${steps} timesteps`)
  checkOrder('timestep_bias', biases)
}
