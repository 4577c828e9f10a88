import { z } from 'zod'
import { feedForwardNames } from '../../nn/feed-forward.ts'
import { parseConfig } from '../config.ts'

const count = z.int().positive()

/** diffusers' `LatteTransformer3DModel` (models/transformers/latte_transformer_3d.py, v0.42). */
export const latteSchema = z.object({
  num_attention_heads: count.default(16),
  attention_head_dim: count.default(88),
  in_channels: count.default(4),
  /** As many as go in unless given; twice as many where the variance is learnt, which the pipeline drops. */
  out_channels: count.nullable().default(null),
  num_layers: count.default(1),
  dropout: z.number().default(0),
  /** Width of what the spatial blocks attend to: the text's states after their projection. */
  cross_attention_dim: count.nullable().default(null),
  attention_bias: z.boolean().default(false),
  /** Latents a side that training saw: other sizes stretch the positions. */
  sample_size: count.default(64),
  patch_size: count.default(2),
  activation_fn: z.enum(feedForwardNames).default('geglu'),
  /** Read and left aside: the only norm here takes the time as it is. */
  num_embeds_ada_norm: count.nullable().default(null),
  norm_type: z.literal('ada_norm_single'),
  norm_elementwise_affine: z.boolean().default(true),
  norm_eps: z.number().positive().default(1e-5),
  /** Width of the text encoder's states. */
  caption_channels: count,
  /** Frames: a film has so many, or one. */
  video_length: count.default(16),
})
export type LatteConfig = Readonly<z.infer<typeof latteSchema>>

/** @throws ModelConfigError with every fault */
export const latteConfig = (fields: unknown, place?: string): LatteConfig =>
  parseConfig('LatteTransformer3DModel', latteSchema, fields, place)
