import { z } from 'zod'
import { parseConfig } from '../config.ts'

const count = z.int().positive()

/** diffusers' `WanTransformer3DModel` (models/transformers/transformer_wan.py, v0.42). */
export const wanSchema = z.object({
  /** Latent frames, rows and columns in a patch. */
  patch_size: z.tuple([count, count, count]).default([1, 2, 2]),
  num_attention_heads: count.default(40),
  attention_head_dim: count.multipleOf(2).default(128),
  in_channels: count.default(16),
  out_channels: z.int().min(0).nullable().default(16),
  text_dim: count.default(4096),
  freq_dim: count.default(256),
  ffn_dim: count.default(13824),
  num_layers: count.default(40),
  cross_attn_norm: z.boolean().default(true),
  /** Named in configs; queries and keys are always normalised across all heads. */
  qk_norm: z.literal('rms_norm_across_heads').nullable().default('rms_norm_across_heads'),
  eps: z.number().positive().default(1e-6),
  /** Width of an image encoder's tokens, which image-to-video networks also see. */
  image_dim: count.nullable().default(null),
  added_kv_proj_dim: count.nullable().default(null),
  /** The longest axis of patches that there are positions for. */
  rope_max_seq_len: count.default(1024),
  pos_embed_seq_len: count.nullable().default(null),
})
export type WanConfig = Readonly<z.infer<typeof wanSchema>>

/** @throws ModelConfigError with every fault */
export const wanConfig = (fields: unknown, place?: string): WanConfig =>
  parseConfig('WanTransformer3DModel', wanSchema, fields, place)

const mean = [-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517, -0.3632]
const std = [2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579]

/** diffusers' `AutoencoderKLWan` (models/autoencoders/autoencoder_kl_wan.py, v0.42): 2.1's, and 2.2's with `is_residual`. */
export const wanVaeSchema = z
  .object({
    base_dim: count.default(96),
    decoder_base_dim: count.nullable().default(null),
    z_dim: count.default(16),
    dim_mult: z.array(count).min(1).default([1, 2, 4, 4]),
    num_res_blocks: count.default(2),
    /** Scales with attention in the encoder: diffusers cannot run any. */
    attn_scales: z.array(z.number()).max(0, 'attention at a scale cannot be run, nor in diffusers').default([]),
    temperal_downsample: z.array(z.boolean()).default([false, true, true]),
    dropout: z.number().default(0),
    latents_mean: z.array(z.number()).default([...mean, -0.1922, -0.9497, 0.2503, -0.2921]),
    latents_std: z.array(z.number()).default([...std, 1.6382, 1.1253, 2.8251, 1.916]),
    is_residual: z.boolean().default(false),
    in_channels: count.default(3),
    out_channels: count.default(3),
    /** Pixels a side that stand as channels. */
    patch_size: count.nullable().default(null),
    scale_factor_temporal: count.nullable().default(4),
    scale_factor_spatial: count.nullable().default(8),
  })
  .check((ctx) => {
    const fault = (field: string, message: string) =>
      ctx.issues.push({ code: 'custom', path: [field], message, input: ctx.value })
    const { z_dim: channels, dim_mult, temperal_downsample: time } = ctx.value
    for (const field of ['latents_mean', 'latents_std'] as const)
      if (ctx.value[field].length !== channels) fault(field, `has ${ctx.value[field].length} numbers, z_dim is ${channels}`)
    if (time.length < dim_mult.length - 1)
      fault('temperal_downsample', `has ${time.length} entries for ${dim_mult.length} levels; ${dim_mult.length - 1} are needed`)
  })
export type WanVaeConfig = Readonly<z.infer<typeof wanVaeSchema>>

/** @throws ModelConfigError with every fault */
export const wanVaeConfig = (fields: unknown, place?: string): WanVaeConfig =>
  parseConfig('AutoencoderKLWan', wanVaeSchema, fields, place)
