import { z } from 'zod'
import { parseConfig } from '../config.ts'

const count = z.int().positive()

/** A list as GLIDE writes it, `32,16,8`, or as a list. */
const listed = z.preprocess(
  (value) => (typeof value === 'string' ? (value === '' ? [] : value.split(',').map(Number)) : value),
  z.array(count),
)

/** How often a picture's side is halved, and how wide the levels are, where nothing is said. */
const multiples: Readonly<Record<number, readonly number[]>> = {
  256: [1, 1, 2, 2, 4, 4],
  128: [1, 1, 2, 3, 4],
  64: [1, 2, 3, 4],
}

/**
 * A U-Net of GLIDE with its text transformer, with the field names and defaults of `model_and_diffusion_defaults` (openai/glide-text2im,
 * 69b5307); the released files hold no config.
 *
 * Left out: other norms than scale and shift, and convolutions that resample, which no released network has.
 */
export const glideSchema = z
  .object({
    image_size: count.default(64),
    num_channels: count.default(192),
    num_res_blocks: count.default(3),
    channel_mult: listed.default([]),
    /** Width of an attention head. */
    num_head_channels: count.default(64),
    /** Sides of the pictures at whose levels pixels attend. */
    attention_resolutions: listed.default([32, 16, 8]),
    /** Tokens of a text. */
    text_ctx: count.default(128),
    xf_width: count.default(512),
    xf_layers: count.default(16),
    xf_heads: count.default(8),
    xf_final_ln: z.boolean().default(true),
    xf_padding: z.literal(true).default(true),
    n_vocab: count.default(50257),
    diffusion_steps: count.default(1000),
    noise_schedule: z.enum(['squaredcos_cap_v2', 'linear']).default('squaredcos_cap_v2'),
    use_scale_shift_norm: z.literal(true).default(true),
    resblock_updown: z.literal(true).default(true),
    /** The network sees a picture to repaint, and where it is known. */
    inpaint: z.boolean().default(false),
    /** The network enlarges a picture. */
    super_res: z.boolean().default(false),
  })
  .check((ctx) => {
    const { channel_mult: own, image_size: side, num_channels, xf_width, xf_heads } = ctx.value
    const fault = (field: string, message: string) =>
      ctx.issues.push({ code: 'custom', path: [field], message, input: ctx.value })
    if (own.length === 0 && !multiples[side]) fault('channel_mult', `is needed for an image_size of ${side}`)
    if (side % 2 ** (Math.max(own.length, 1) - 1) !== 0) fault('image_size', `cannot be halved ${own.length - 1} times`)
    if (num_channels % 32 !== 0) fault('num_channels', `is ${num_channels}; norms have 32 groups`)
    if (xf_width % xf_heads !== 0) fault('xf_heads', `${xf_width} channels do not split into ${xf_heads} heads`)
  })
export type GlideConfig = Readonly<z.infer<typeof glideSchema>>

/** What the enlarging network has otherwise. */
export const glideUpsampler = {
  image_size: 256,
  num_res_blocks: 2,
  noise_schedule: 'linear',
  super_res: true,
} as const

/** @param place what errors call it, such as its file. @throws ModelConfigError with every fault */
export const glideConfig = (fields: unknown, place?: string): GlideConfig =>
  parseConfig('GlideText2Im', glideSchema, fields, place)

export const channelMultiples = ({ channel_mult: own, image_size: side }: GlideConfig): readonly number[] =>
  own.length > 0 ? own : (multiples[side] as readonly number[])

/** Channels that the network sees: its state; the known picture and where it is known; the small picture. */
export const glideChannels = ({ inpaint, super_res }: Pick<GlideConfig, 'inpaint' | 'super_res'>): number =>
  3 + (inpaint ? 4 : 0) + (super_res ? 3 : 0)

/** GLIDE's noised CLIP, with the field names and values of its config.yaml. */
export const glideClipSchema = z.object({
  /** What similarities are multiplied by. */
  logit_scale: z.number().positive().default(100),
  n_timesteps: count.default(1000),
  image_size: count.default(64),
  patch_size: count.default(4),
  n_vocab: count.default(65536),
  max_text_len: count.default(77),
  n_embd: count.default(512),
  n_head_state_text: count.default(64),
  n_head_text: count.default(8),
  n_xf_blocks_text: count.default(12),
  n_head_state_image: count.default(64),
  n_head_image: count.default(12),
  n_xf_blocks_image: count.default(12),
  beta_schedule: z.literal('squaredcos_cap_v2').default('squaredcos_cap_v2'),
})
export type GlideClipConfig = Readonly<z.infer<typeof glideClipSchema>>

/** @param place what errors call it, such as its file. @throws ModelConfigError with every fault */
export const glideClipConfig = (fields: unknown, place?: string): GlideClipConfig =>
  parseConfig('GlideClip', glideClipSchema, fields, place)
