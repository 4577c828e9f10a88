import { z } from 'zod'
import { parseConfig } from '../config.ts'

const count = z.int().positive()

/** What the transformer's config and its ControlNets' share. */
export const mmditFields = {
  sample_size: count.default(128),
  patch_size: count.default(2),
  in_channels: count.default(16),
  num_layers: count.default(18),
  attention_head_dim: count.default(64),
  num_attention_heads: count.default(18),
  caption_projection_dim: count.default(1152),
  pooled_projection_dim: count.default(2048),
  out_channels: count.nullable().default(16),
  /** Positions a side of the table that the checkpoint holds. */
  pos_embed_max_size: count.default(96),
  /** Blocks in which the picture's tokens also attend to themselves alone (Stable Diffusion 3.5 medium). */
  dual_attention_layers: z.array(z.int().min(0)).default([]),
  qk_norm: z.literal('rms_norm').nullable().default(null),
}

/** The text's tokens have the picture's width: attention joins both. */
export function widthsFit(
  ctx: z.core.ParsePayload<{ attention_head_dim: number; num_attention_heads: number; caption_projection_dim: number }>,
) {
  const { attention_head_dim, num_attention_heads, caption_projection_dim: text } = ctx.value
  const width = attention_head_dim * num_attention_heads
  if (text === width) return
  const message = `is ${text}; the blocks are ${width} wide`
  ctx.issues.push({ code: 'custom', path: ['caption_projection_dim'], message, input: ctx.value })
}

/** diffusers' `SD3Transformer2DModel` (models/transformers/transformer_sd3.py, v0.42): Stable Diffusion 3 and 3.5. */
export const mmditSchema = z.object({ ...mmditFields, joint_attention_dim: count.default(4096) }).check(widthsFit)
export type MmditConfig = Readonly<z.infer<typeof mmditSchema>>

/** @throws ModelConfigError with every fault */
export const mmditConfig = (value: unknown, place?: string): MmditConfig =>
  parseConfig('SD3Transformer2DModel', mmditSchema, value, place)
