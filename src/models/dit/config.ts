import { z } from 'zod'
import { parseConfig } from '../config.ts'

const count = z.int().positive()

/** What the transformers of DiT, PixArt and Latte share, with diffusers' names (models/transformers, v0.42). */
export const ditFields = {
  num_attention_heads: count.default(16),
  attention_head_dim: count.default(72),
  in_channels: count.default(4),
  num_layers: count.default(28),
  dropout: z.number().default(0),
  /** Of no group norm: there is none in these networks, and the field is read and left aside, as diffusers does. */
  norm_num_groups: z.int().nullable().default(32),
  attention_bias: z.boolean().default(true),
  patch_size: count.default(2),
  activation_fn: z.literal('gelu-approximate').default('gelu-approximate'),
  upcast_attention: z.boolean().default(false),
  norm_elementwise_affine: z.literal(false).default(false),
}

/** diffusers' `DiTTransformer2DModel`. */
export const ditSchema = z.object({
  ...ditFields,
  /** As many as go in unless given; twice as many where the variance is learnt. */
  out_channels: count.nullable().default(null),
  /** Latents a side that training saw: other sizes stretch the positions. */
  sample_size: count.default(32),
  /** Classes; one more stands for none. */
  num_embeds_ada_norm: count.default(1000),
  norm_type: z.literal('ada_norm_zero').default('ada_norm_zero'),
  norm_eps: z.number().positive().default(1e-5),
})
export type DitConfig = Readonly<z.infer<typeof ditSchema>>

/** @throws ModelConfigError with every fault */
export const ditConfig = (fields: unknown, place?: string): DitConfig =>
  parseConfig('DiTTransformer2DModel', ditSchema, fields, place)
