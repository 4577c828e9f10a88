import { z } from 'zod'
import { parseConfig } from '../config.ts'
import { encoderFields, faultsOf } from '../unet-condition/config.ts'

const count = z.int().positive()

/** diffusers' `ControlNetModel`, with its field names and defaults (models/controlnets/controlnet.py, v0.42). */
export const controlNetSchema = z
  .object({
    ...encoderFields,
    mid_block_type: z.enum(['UNetMidBlock2DCrossAttn', 'UNetMidBlock2D']).default('UNetMidBlock2DCrossAttn'),
    layers_per_block: count.default(2),
    cross_attention_dim: count.default(1280),
    encoder_hid_dim_type: z.enum(['text_proj', 'text_image_proj']).nullable().default(null),
    class_embed_type: z.enum(['timestep', 'identity', 'projection']).nullable().default(null),
    addition_embed_type: z.enum(['text', 'text_time']).nullable().default(null),
    /** Channels of the picture that controls. */
    conditioning_channels: count.default(3),
    controlnet_conditioning_channel_order: z.enum(['rgb', 'bgr']).default('rgb'),
    /** Widths of the hint's encoder; each but the first halves the resolution. */
    conditioning_embedding_out_channels: z.array(count).min(1).default([16, 32, 96, 256]),
    /** Each residual is the mean over its pixels. */
    global_pool_conditions: z.boolean().default(false),
  })
  .check((ctx) => {
    for (const [field, message] of faultsOf(ctx.value)) {
      ctx.issues.push({ code: 'custom', path: [field], message, input: ctx.value })
    }
  })

export type ControlNetConfig = Readonly<z.infer<typeof controlNetSchema>>

/** @param place what errors call it, such as its file. @throws ModelConfigError with every fault */
export const controlNetConfig = (fields: unknown, place?: string): ControlNetConfig =>
  parseConfig('ControlNetModel', controlNetSchema, fields, place)

/** diffusers' `T2IAdapter`, with its field names and defaults (models/adapter.py, v0.42). */
export const t2iAdapterSchema = z
  .object({
    in_channels: count.default(3),
    channels: z.array(count).min(1).default([320, 640, 1280, 1280]),
    num_res_blocks: count.default(2),
    /** Pixels that become channels first; the blocks halve the resolution further. */
    downscale_factor: count.default(8),
    adapter_type: z.enum(['full_adapter', 'full_adapter_xl', 'light_adapter']).default('full_adapter'),
  })
  .check((ctx) => {
    const odd = ctx.value.adapter_type === 'light_adapter' && ctx.value.channels.find((width) => width < 4)
    if (odd) ctx.issues.push({ code: 'custom', path: ['channels'], message: 'must be 4 at least', input: ctx.value })
  })

export type T2IAdapterConfig = Readonly<z.infer<typeof t2iAdapterSchema>>

/** @param place what errors call it, such as its file. @throws ModelConfigError with every fault */
export const t2iAdapterConfig = (fields: unknown, place?: string): T2IAdapterConfig =>
  parseConfig('T2IAdapter', t2iAdapterSchema, fields, place)
