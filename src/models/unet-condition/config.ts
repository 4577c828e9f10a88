import { z } from 'zod'
import { type Activation, activations } from '../../nn/activation.ts'
import { parseConfig } from '../config.ts'

/** How a block mixes what is far apart: not at all, pixels with pixels, or pixels with the context (in either of two ways). */
export type Mixing = 'none' | 'self' | 'cross' | 'simple-cross'

export interface BlockKind {
  readonly mixes: Mixing
  /** What changes the resolution: a convolution, a residual block, or k-diffusion's filter. */
  readonly resamples: 'conv' | 'resnet' | 'filter'
}

/** The blocks of diffusers, by what stands between `Down` or `Up` in their names. */
const kinds = {
  '': { mixes: 'none', resamples: 'conv' },
  Attn: { mixes: 'self', resamples: 'conv' },
  CrossAttn: { mixes: 'cross', resamples: 'conv' },
  SimpleCrossAttn: { mixes: 'simple-cross', resamples: 'resnet' },
} as const satisfies Record<string, BlockKind>
/** k-diffusion's, of whose blocks the norms take the time. */
const ofK = {
  K: { mixes: 'none', resamples: 'filter' },
  KCrossAttn: { mixes: 'cross', resamples: 'filter' },
} as const satisfies Record<string, BlockKind>
const resnetOnly = { mixes: 'none', resamples: 'resnet' } as const satisfies BlockKind

export const conditionDownBlocks: Readonly<Record<string, BlockKind>> = {
  ...Object.fromEntries(Object.entries({ ...kinds, ...ofK }).map(([name, kind]) => [`${name}DownBlock2D`, kind])),
  ResnetDownsampleBlock2D: resnetOnly,
}
export const conditionUpBlocks: Readonly<Record<string, BlockKind>> = {
  ...Object.fromEntries(Object.entries({ ...kinds, ...ofK }).map(([name, kind]) => [`${name}UpBlock2D`, kind])),
  ResnetUpsampleBlock2D: resnetOnly,
}

const count = z.int().positive()
const activation = z.enum(Object.keys(activations) as Activation[])
const cross = 'CrossAttn'

/** One value for every level, or one a level. */
const perLevel = <T extends z.ZodType>(value: T) => z.union([value, z.array(value)])

/** A block's type; the first checkpoints put `UNetRes` before it. */
const block = (types: object) =>
  z.preprocess((name) => (typeof name === 'string' ? name.replace(/^UNetRes/, '') : name), z.enum(Object.keys(types)))

/** The fields that a U-Net and its ControlNet have in common. */
export const encoderFields = {
  in_channels: count.default(4),
  flip_sin_to_cos: z.boolean().default(true),
  freq_shift: z.number().default(0),
  down_block_types: z
    .array(block(conditionDownBlocks))
    .default([`${cross}DownBlock2D`, `${cross}DownBlock2D`, `${cross}DownBlock2D`, 'DownBlock2D']),
  mid_block_type: z
    .enum(['UNetMidBlock2DCrossAttn', 'UNetMidBlock2D', 'UNetMidBlock2DSimpleCrossAttn'])
    .nullable()
    .default('UNetMidBlock2DCrossAttn'),
  /** Both attentions of a transformer block look at the context, as in the ×4 upscaler. */
  only_cross_attention: perLevel(z.boolean()).default(false),
  block_out_channels: z.array(count).min(1).default([320, 640, 1280, 1280]),
  layers_per_block: perLevel(count).default(2),
  downsample_padding: z.union([z.literal(0), z.literal(1)]).default(1),
  mid_block_scale_factor: z.number().positive().default(1),
  act_fn: activation.default('silu'),
  /** Null where every block is k-diffusion's, which count their groups by themselves: then nothing stands before the last convolution. */
  norm_num_groups: count.nullable().default(32),
  norm_eps: z.number().positive().default(1e-5),
  cross_attention_dim: perLevel(count).default(1280),
  /** Transformer blocks in each transformer; with lists inside, one number a transformer. */
  transformer_layers_per_block: z.union([count, z.array(perLevel(count))]).default(1),
  /** Width of the context before it is projected. */
  encoder_hid_dim: count.nullable().default(null),
  encoder_hid_dim_type: z.enum(['text_proj', 'text_image_proj', 'image_proj']).nullable().default(null),
  /** The number of heads, despite its name; blocks without a transformer use it as the size of a head. */
  attention_head_dim: perLevel(count.nullable()).default(8),
  /** The number of heads, where it is given. */
  num_attention_heads: perLevel(count).nullable().default(null),
  use_linear_projection: z.boolean().default(false),
  class_embed_type: z.enum(['timestep', 'identity', 'projection', 'simple_projection']).nullable().default(null),
  addition_embed_type: z.enum(['text', 'text_image', 'text_time', 'image', 'image_hint']).nullable().default(null),
  addition_time_embed_dim: count.nullable().default(null),
  /** Classes, or noise levels, of a learned table. */
  num_class_embeds: count.nullable().default(null),
  /** Accepted: every network here runs in f32. */
  upcast_attention: z.boolean().default(false),
  resnet_time_scale_shift: z.enum(['default', 'scale_shift']).default('default'),
  projection_class_embeddings_input_dim: count.nullable().default(null),
  addition_embed_type_num_heads: count.default(64),
}

/**
 * diffusers' `UNet2DConditionModel`, with its field names and defaults (models/unets/unet_2d_condition.py, v0.42).
 *
 * Left out: GLIGEN and dual attention.
 */
export const unet2dConditionSchema = z
  .object({
    ...encoderFields,
    /** Latent pixels a side, for pipelines; the network takes any size. */
    sample_size: z
      .union([count, z.tuple([count, count])])
      .nullable()
      .default(null),
    out_channels: count.default(4),
    /** The network sees 2x − 1. */
    center_input_sample: z.boolean().default(false),
    up_block_types: z
      .array(block(conditionUpBlocks))
      .default(['UpBlock2D', `${cross}UpBlock2D`, `${cross}UpBlock2D`, `${cross}UpBlock2D`]),
    dropout: z.number().min(0).lt(1).default(0),
    /** Where the way up has other numbers of transformer blocks than the way down: one a level from the deepest on. */
    reverse_transformer_layers_per_block: z.array(perLevel(count)).nullable().default(null),
    dual_cross_attention: z.literal(false).default(false),
    resnet_skip_time_act: z.boolean().default(false),
    resnet_out_scale_factor: z.number().positive().default(1),
    time_embedding_type: z.enum(['positional', 'fourier']).default('positional'),
    /** Width of the time embedding; 4 · block_out_channels[0] where null, 2 · with `fourier`. */
    time_embedding_dim: count.nullable().default(null),
    time_embedding_act_fn: activation.nullable().default(null),
    timestep_post_act: activation.nullable().default(null),
    /** Width of the embedded guidance scale of a distilled network (LCM). */
    time_cond_proj_dim: count.nullable().default(null),
    conv_in_kernel: count.default(3),
    conv_out_kernel: count.default(3),
    attention_type: z.literal('default').default('default'),
    class_embeddings_concat: z.boolean().default(false),
    mid_block_only_cross_attention: z.boolean().nullable().default(null),
    cross_attention_norm: z.enum(['layer_norm', 'group_norm']).nullable().default(null),
  })
  .check((ctx) => {
    const config = ctx.value
    for (const [field, message] of faultsOf(config)) {
      ctx.issues.push({ code: 'custom', path: [field], message, input: config })
    }
    const levels = config.block_out_channels.length
    const wrong = (field: string, length: number) =>
      ctx.issues.push({ code: 'custom', path: [field], message: ofLevels(length, levels), input: config })
    if (config.up_block_types.length !== levels) wrong('up_block_types', config.up_block_types.length)
    const reverse = config.reverse_transformer_layers_per_block
    if (reverse && reverse.length !== levels) wrong('reverse_transformer_layers_per_block', reverse.length)
    if (
      !reverse &&
      Array.isArray(config.transformer_layers_per_block) &&
      config.transformer_layers_per_block.some(Array.isArray)
    ) {
      const message = 'is needed where transformer_layers_per_block has lists inside'
      ctx.issues.push({ code: 'custom', path: ['reverse_transformer_layers_per_block'], message, input: config })
    }
  })

export type UNet2DConditionConfig = Readonly<z.infer<typeof unet2dConditionSchema>>

/** A config of the fields in common. */
export type EncoderConfig = Readonly<z.infer<z.ZodObject<typeof encoderFields>>>

const ofLevels = (length: number, levels: number) => `has ${length} entries, block_out_channels has ${levels}`

/** Faults of the fields in common, beyond what each field's own rule finds. */
export function* faultsOf(config: EncoderConfig): Generator<[keyof EncoderConfig, string]> {
  const levels = config.block_out_channels.length
  const listed = [
    'down_block_types',
    'only_cross_attention',
    'layers_per_block',
    'cross_attention_dim',
    'transformer_layers_per_block',
    'attention_head_dim',
    'num_attention_heads',
  ] as const
  for (const field of listed) {
    const value = config[field]
    if (Array.isArray(value) && value.length !== levels) yield [field, ofLevels(value.length, levels)]
  }
  const needs = (field: keyof EncoderConfig, by: keyof EncoderConfig): [keyof EncoderConfig, string][] =>
    config[field] === null ? [[field, `${by} ${JSON.stringify(config[by])} needs it`]] : []
  if (config.class_embed_type?.includes('projection')) yield* needs('projection_class_embeddings_input_dim', 'class_embed_type')
  if (config.encoder_hid_dim_type) yield* needs('encoder_hid_dim', 'encoder_hid_dim_type')
  if (config.addition_embed_type === 'text_time') {
    yield* needs('addition_time_embed_dim', 'addition_embed_type')
    yield* needs('projection_class_embeddings_input_dim', 'addition_embed_type')
  }
  if (config.addition_embed_type?.startsWith('image')) yield* needs('encoder_hid_dim', 'addition_embed_type')
  const named = [...config.down_block_types, config.mid_block_type]
  if (config.norm_num_groups === null && named.some((name) => name !== null && !name.startsWith('K')))
    yield ['norm_num_groups', 'is null, which is for networks of K blocks alone']
  const single = config.encoder_hid_dim !== null || config.addition_embed_type?.startsWith('text')
  if (single && Array.isArray(config.cross_attention_dim) && new Set(config.cross_attention_dim).size > 1) {
    yield ['cross_attention_dim', 'must be one width where the context is projected or added to the time']
  }
}

/**
 * A `UNet2DConditionModel` config from what its `config.json` holds, or from some fields of it; the rest have upstream's defaults.
 *
 * @param place what errors call it, such as its file
 * @throws ModelConfigError with every fault; unknown fields and block types with the known ones
 */
export const unet2dConditionConfig = (fields: unknown, place?: string): UNet2DConditionConfig =>
  parseConfig('UNet2DConditionModel', unet2dConditionSchema, fields, place)

/** What one level of the network is, from the fields that hold one value for all levels or one a level. */
export interface Level {
  readonly channels: number
  /** Residual blocks on the way down. */
  readonly layers: number
  readonly contextWidth: number
  /** Heads of the transformers. */
  readonly heads: number
  /** Size of a head in the other attentions. */
  readonly headDim: number
  /** Transformer blocks: of every transformer, or of each. */
  readonly depth: number | readonly number[]
  readonly onlyCross: boolean
}

export function levelsOf(config: EncoderConfig): Level[] {
  return config.block_out_channels.map((channels, i) => {
    const headDim = headDimOf(config, i, channels)
    const depth = config.transformer_layers_per_block
    return {
      channels,
      layers: pick(config.layers_per_block, i),
      contextWidth: pick(config.cross_attention_dim, i),
      heads: config.num_attention_heads === null ? headDim : pick(config.num_attention_heads, i),
      headDim,
      depth: typeof depth === 'number' ? depth : (depth[i] as number | number[]),
      onlyCross: pick(config.only_cross_attention, i),
    }
  })
}

/** `attention_head_dim` number i; all channels where it is null. */
export const headDimOf = (config: EncoderConfig, i: number, channels: number): number =>
  pick<number | null>(config.attention_head_dim, i) ?? channels

const pick = <T>(value: T | readonly T[], i: number): T => (Array.isArray(value) ? (value[i] as T) : (value as T))

/** The width that a context is projected from, or that is added to the time. */
export const contextWidthOf = ({ cross_attention_dim: width }: EncoderConfig): number =>
  Array.isArray(width) ? (width[0] as number) : (width as number)
