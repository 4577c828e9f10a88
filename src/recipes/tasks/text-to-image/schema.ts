import { z } from 'zod'
import { ArgumentError } from '../../../core/errors.ts'
import { scenesSchema } from '../../data.ts'
import { checkOneOf } from '../../stored.ts'

/** The denoiser of a latent diffusion model. Fields of the network and the scheduler are diffusers'. */
export const textToImageSchema = z.object({
  data: scenesSchema,
  resolution: z.int().positive().default(64),
  /** Folders or names of the parts that are trained before. */
  vae: z.string().default('stickers-vae'),
  clip: z.string().default('stickers-clip'),
  /** Whether the text encoder goes on learning, with the denoiser: Rombach et al. 2022, section 3.3. */
  train_text_encoder: z.boolean().default(false),
  /**
   * Weight of an auxiliary head, which is not kept: it has to tell from a caption's hidden states where objects stand. By the denoiser's error
   * alone the text encoder learnt no order of objects in 600 steps.
   */
  layout_weight: z.number().positive().optional(),
  /** The network, where it does not come with a `pretrained` pipeline. */
  unet: z.record(z.string(), z.unknown()).optional(),
  /** A pipeline that goes on, by its folder or name, with its own text encoder in place of `clip`: fine-tuning. */
  pretrained: z.string().optional(),
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
  /** The share of captions that are left out, for guidance. */
  condition_dropout: z.number().min(0).max(1).default(0.1),
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
  /** Scenes whose latents are kept: each is seen again and again, with other captions, noise and timesteps. */
  pool: z.int().positive().default(65_536),
  /** What grids of samples show, in place of the fixed prompts. */
  validation_prompts: z.array(z.string()).min(1).optional(),
})
export type TextToImage = z.infer<typeof textToImageSchema>

/** @throws ArgumentError for fields that don't go together */
export function checkRecipe({ unet, pretrained, timestep_bias: biases, scheduler, ...recipe }: TextToImage): void {
  checkOneOf('text-to-image', { unet, pretrained })
  if (recipe.layout_weight !== undefined && !recipe.train_text_encoder)
    throw new ArgumentError('layout_weight: only a text encoder that learns can learn layouts; add train_text_encoder')
  const { num_train_timesteps: steps } = scheduler
  for (const [i, { from, begin, end }] of biases.entries()) {
    if (!(begin < end && end <= steps))
      throw new ArgumentError(`timestep_bias: ${begin} to ${end} is no range of ${steps} timesteps`)
    const before = biases[i - 1]
    if (before && before.from >= from)
      throw new ArgumentError(`timestep_bias: from ${before.from}, then from ${from}; put them in the order of their steps`)
  }
}
