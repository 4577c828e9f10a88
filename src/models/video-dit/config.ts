import { z } from 'zod'
import { parseConfig } from '../config.ts'

const count = z.int().positive()

/** A transformer of films of any length, size and aspect. */
export const videoDitSchema = z.object({
  in_channels: count.default(8),
  /** Latent frames, and latents a side, in a patch. */
  patch_size_t: count.default(1),
  patch_size: count.default(2),
  num_layers: count.default(6),
  num_attention_heads: count.default(4),
  /** A quarter turns with time, three eighths with rows, three eighths with columns. */
  attention_head_dim: count.multipleOf(16).default(48),
  /** Width of the texts' states, and of the pooled text. */
  joint_attention_dim: count.default(128),
  pooled_projection_dim: count.default(128),
  mlp_ratio: z.number().positive().default(4),
  rope_theta: z.number().positive().default(10_000),
  /** Latents a side, and frames of a film, that a run makes unless it is told; and how many frames a second. */
  sample_size: count.default(16),
  sample_frames: count.default(17),
  sample_rate: z.number().positive().default(8),
})
export type VideoDitConfig = Readonly<z.infer<typeof videoDitSchema>>

/** @throws ModelConfigError with every fault */
export const videoDitConfig = (fields: unknown, place?: string): VideoDitConfig =>
  parseConfig('VideoDiTModel', videoDitSchema, fields, place)
