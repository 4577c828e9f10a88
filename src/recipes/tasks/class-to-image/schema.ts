import { z } from 'zod'
import { stickersSchema } from '../../data.ts'
import { textToImageSchema } from '../text-to-image/schema.ts'

const { scheduler, timestep_bias, snr_gamma, condition_dropout } = textToImageSchema.shape

/** A diffusion transformer conditioned on classes. Fields of the network and the scheduler are diffusers'. */
export const classToImageSchema = z.object({
  /** Its classes are each sticker in each style. */
  data: stickersSchema,
  resolution: z.int().positive().default(64),
  /** The folder or name of the autoencoder that is trained before. */
  vae: z.string().default('stickers-vae'),
  /** The network, where it does not come with a `pretrained` pipeline. */
  transformer: z.record(z.string(), z.unknown()).optional(),
  /** A pipeline of the same classes to go on from, by its folder or name: fine-tuning. */
  pretrained: z.string().optional(),
  scheduler,
  /** The share of classes that are left out, for guidance. */
  condition_dropout,
  timestep_bias,
  snr_gamma: snr_gamma.unwrap().default(null),
  /**
   * Learns variances too, in as many channels again: the bound's terms are added to the error, with no gradient for the means (Nichol and
   * Dhariwal 2021, section 3.1). diffusers' pipeline samples without them.
   */
  learn_sigma: z.boolean().default(false),
  /** Pictures whose latents are kept: each is seen again and again, with other noise and timesteps. */
  pool: z.int().positive().default(8192),
})
export type ClassToImage = z.infer<typeof classToImageSchema>
