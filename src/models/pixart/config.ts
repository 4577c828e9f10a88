import { z } from 'zod'
import { parseConfig } from '../config.ts'
import { ditFields } from '../dit/config.ts'

const count = z.int().positive()

/** diffusers' `PixArtTransformer2DModel` (v0.42): PixArt-α and -Σ. */
export const pixartSchema = z.object({
  ...ditFields,
  out_channels: count.nullable().default(8),
  cross_attention_dim: count.default(1152),
  sample_size: count.default(128),
  num_embeds_ada_norm: count.nullable().default(1000),
  norm_type: z.literal('ada_norm_single').default('ada_norm_single'),
  norm_eps: z.number().positive().default(1e-6),
  /** `sample_size` in units of 64 unless given, and 1 at least. */
  interpolation_scale: z.number().positive().nullable().default(null),
  /** Whether it is conditioned on the picture's size and aspect; where `sample_size` is 128 unless given. */
  use_additional_conditions: z.boolean().nullable().default(null),
  /** Width of the text's states, which a layer brings to that of the tokens; without it they have it already. */
  caption_channels: count.nullable().default(null),
  attention_type: z.literal('default').default('default'),
})
export type PixartConfig = Readonly<z.infer<typeof pixartSchema>>

/** @throws ModelConfigError with every fault */
export const pixartConfig = (fields: unknown, place?: string): PixartConfig =>
  parseConfig('PixArtTransformer2DModel', pixartSchema, fields, place)

/** Whether the network takes the picture's size and aspect ratio. */
export const takesSize = ({ use_additional_conditions: takes, sample_size }: PixartConfig): boolean =>
  takes ?? sample_size === 128
