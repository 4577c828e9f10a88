import { z } from 'zod'
import { type Activation, activations } from '../../nn/activation.ts'
import { parseConfig } from '../config.ts'

export const downBlockTypes = [
  'DownBlock2D',
  'AttnDownBlock2D',
  'ResnetDownsampleBlock2D',
  'SkipDownBlock2D',
  'AttnSkipDownBlock2D',
] as const
export type DownBlockType = (typeof downBlockTypes)[number]

export const upBlockTypes = ['UpBlock2D', 'AttnUpBlock2D', 'ResnetUpsampleBlock2D', 'SkipUpBlock2D', 'AttnSkipUpBlock2D'] as const
export type UpBlockType = (typeof upBlockTypes)[number]

const count = z.int().positive()

/** A block's type; the first checkpoints put `UNetRes` before it. */
const block = <T extends readonly string[]>(types: T) =>
  z.preprocess((name) => (typeof name === 'string' ? name.replace(/^UNetRes/, '') : name), z.enum(types))

/**
 * diffusers' `UNet2DModel`, with its field names and defaults (models/unets/unet_2d.py, v0.42).
 *
 * Not every combination has a network: the checks below refuse what the reference refuses or quietly gets wrong.
 */
export const unet2dSchema = z
  .object({
    /** Pixels: the side of a square, or height and width. For samplers; the network takes any multiple of 2^(levels − 1). */
    sample_size: z
      .union([count, z.tuple([count, count])])
      .nullable()
      .default(null),
    in_channels: count.default(3),
    out_channels: count.default(3),
    /** The network sees 2x − 1. */
    center_input_sample: z.boolean().default(false),
    time_embedding_type: z.enum(['positional', 'fourier', 'learned']).default('positional'),
    /** Width of the time embedding; 4 · block_out_channels[0] where null. */
    time_embedding_dim: count.nullable().default(null),
    freq_shift: z.number().default(0),
    flip_sin_to_cos: z.boolean().default(true),
    down_block_types: z
      .array(block(downBlockTypes))
      .default(['DownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D']),
    mid_block_type: z.literal('UNetMidBlock2D').nullable().default('UNetMidBlock2D'),
    up_block_types: z.array(block(upBlockTypes)).default(['AttnUpBlock2D', 'AttnUpBlock2D', 'AttnUpBlock2D', 'UpBlock2D']),
    block_out_channels: z.array(count).min(1).default([224, 448, 672, 896]),
    layers_per_block: count.default(2),
    mid_block_scale_factor: z.number().positive().default(1),
    /** 0 pads below and to the right only. */
    downsample_padding: z.union([z.literal(0), z.literal(1)]).default(1),
    downsample_type: z.enum(['conv', 'resnet']).default('conv'),
    upsample_type: z.enum(['conv', 'resnet']).default('conv'),
    dropout: z.number().min(0).lt(1).default(0),
    act_fn: z.enum(Object.keys(activations) as Activation[]).default('silu'),
    /** Channels of an attention head; all of them in one head where null. */
    attention_head_dim: count.nullable().default(8),
    norm_num_groups: count.nullable().default(32),
    /** Groups of the middle attention's norm; where null it has `norm_num_groups`, or no norm with `scale_shift`. */
    attn_norm_num_groups: count.nullable().default(null),
    norm_eps: z.number().positive().default(1e-5),
    resnet_time_scale_shift: z.enum(['default', 'scale_shift']).default('default'),
    add_attention: z.boolean().default(true),
    class_embed_type: z.enum(['timestep', 'identity']).nullable().default(null),
    /** Classes of a learned table; it takes effect where class_embed_type is null. */
    num_class_embeds: count.nullable().default(null),
    num_train_timesteps: count.nullable().default(null),
  })
  .check((ctx) => {
    const config = ctx.value
    const fault = (field: string, message: string) => ctx.issues.push({ code: 'custom', path: [field], message, input: config })
    const levels = config.block_out_channels.length
    for (const field of ['down_block_types', 'up_block_types'] as const) {
      if (config[field].length !== levels) fault(field, `has ${config[field].length} blocks, block_out_channels has ${levels}`)
    }
    if (config.time_embedding_type === 'learned' && config.num_train_timesteps === null) {
      fault('num_train_timesteps', 'a learned time embedding needs it')
    }
    const skipping = [...config.down_block_types, ...config.up_block_types].filter((name) => name.includes('Skip'))
    if (skipping.length > 0 && (config.in_channels !== 3 || config.out_channels !== 3)) {
      fault(
        'in_channels',
        `${skipping[0]} works on pictures of 3 channels, in and out; got ${config.in_channels} and ${config.out_channels}`,
      )
    }
    const plain = [...config.down_block_types, ...config.up_block_types].find((name) => !name.includes('Skip'))
    if (plain && config.norm_num_groups === null) fault('norm_num_groups', `${plain} needs a number of groups`)
  })

export type UNet2DConfig = Readonly<z.infer<typeof unet2dSchema>>

/**
 * A `UNet2DModel` config from what its `config.json` holds, or from some fields of it; the rest have upstream's defaults.
 *
 * @param place what errors call it, such as its file
 * @throws ModelConfigError with every fault; unknown fields and block types with the known ones
 */
export const unet2dConfig = (fields: unknown, place?: string): UNet2DConfig =>
  parseConfig('UNet2DModel', unet2dSchema, fields, place)
