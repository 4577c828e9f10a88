import { z } from 'zod'
import { parseConfig } from '../config.ts'

const count = z.int().positive()

/** An autoencoder of films whose first frame stands alone, so that a picture is a film of one frame. */
export const videoVaeSchema = z
  .object({
    in_channels: count.default(3),
    out_channels: count.default(3),
    latent_channels: count.default(8),
    /** Channels of each level; a level has half as many pixels a side as the one before. */
    block_out_channels: z.array(count).min(2).default([24, 48, 96]),
    layers_per_block: count.default(1),
    /** Whether frames halve too, between a level and the next. */
    temporal_downsample: z.array(z.boolean()).default([true, true]),
    /** What a diffusion model sees is the latents times this. */
    scaling_factor: z.number().positive().default(1),
  })
  .check((ctx) => {
    const { block_out_channels: widths, temporal_downsample: time } = ctx.value
    if (time.length === widths.length - 1) return
    const message = `has ${time.length} entries for ${widths.length} levels; ${widths.length - 1} are needed`
    ctx.issues.push({ code: 'custom', path: ['temporal_downsample'], message, input: ctx.value })
  })
export type VideoVaeConfig = Readonly<z.infer<typeof videoVaeSchema>>

/** @throws ModelConfigError with every fault */
export const videoVaeConfig = (fields: unknown, place?: string): VideoVaeConfig =>
  parseConfig('CausalVideoVAE', videoVaeSchema, fields, place)

/** Pixels a side, and frames behind the first, that one latent stands for. */
export const videoFactors = ({ block_out_channels, temporal_downsample }: VideoVaeConfig) => ({
  space: 2 ** (block_out_channels.length - 1),
  time: 2 ** temporal_downsample.filter(Boolean).length,
})
