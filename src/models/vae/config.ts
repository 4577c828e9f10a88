import { z } from 'zod'
import { type Activation, activations } from '../../nn/activation.ts'
import { parseConfig } from '../config.ts'

const count = z.int().positive()
const activation = z.enum(Object.keys(activations) as Activation[])
const size = z.union([count, z.tuple([count, count])])

/** The fields of an encoder and a decoder, with diffusers' names and defaults (models/autoencoders/vae.py, v0.42). */
const coderFields = {
  in_channels: count.default(3),
  out_channels: count.default(3),
  down_block_types: z.array(z.enum(['DownEncoderBlock2D', 'AttnDownEncoderBlock2D'])).default(['DownEncoderBlock2D']),
  up_block_types: z.array(z.enum(['UpDecoderBlock2D', 'AttnUpDecoderBlock2D'])).default(['UpDecoderBlock2D']),
  block_out_channels: z.array(count).min(1).default([64]),
  layers_per_block: count.default(1),
  act_fn: activation.default('silu'),
  norm_num_groups: count.default(32),
  mid_block_add_attention: z.boolean().default(true),
  /** Pixels. The tiles of tiled coding have this side. */
  sample_size: size.default(32),
}

type Blocks = Pick<z.infer<z.ZodObject<typeof coderFields>>, 'block_out_channels' | 'down_block_types' | 'up_block_types'>

function checkBlocks(ctx: { readonly value: Blocks; readonly issues: unknown[] }): void {
  const levels = ctx.value.block_out_channels.length
  for (const field of ['down_block_types', 'up_block_types'] as const) {
    const found = ctx.value[field].length
    const message = `has ${found} blocks, block_out_channels has ${levels}`
    if (found !== levels) ctx.issues.push({ code: 'custom', path: [field], message, input: ctx.value })
  }
}

export type CoderConfig = Readonly<z.infer<z.ZodObject<typeof coderFields>>> & { readonly latent_channels: number }

const perChannel = z.array(z.number()).nullable().default(null)

/** diffusers' `AutoencoderKL` (models/autoencoders/autoencoder_kl.py, v0.42). */
export const autoencoderKLSchema = z
  .object({
    ...coderFields,
    latent_channels: count.default(4),
    /** What a diffusion model sees is (z − mean)/std: of these four fields, `latentStatistics` makes mean and std. */
    scaling_factor: z.number().default(0.18215),
    shift_factor: z.number().nullable().default(null),
    latents_mean: perChannel,
    latents_std: perChannel,
    /** Accepted: every network here runs in f32. */
    force_upcast: z.boolean().default(true),
    use_quant_conv: z.boolean().default(true),
    use_post_quant_conv: z.boolean().default(true),
  })
  .check((ctx) => {
    checkBlocks(ctx)
    const { latents_mean: mean, latents_std: std, latent_channels: channels } = ctx.value
    const fault = (field: string, message: string) =>
      ctx.issues.push({ code: 'custom', path: [field], message, input: ctx.value })
    if (!mean !== !std) fault(mean ? 'latents_std' : 'latents_mean', 'latents_mean and latents_std come together')
    for (const [field, list] of [
      ['latents_mean', mean],
      ['latents_std', std],
    ] as const) {
      if (list && list.length !== channels) fault(field, `has ${list.length} numbers, latent_channels is ${channels}`)
    }
  })

export type AutoencoderKLConfig = Readonly<z.infer<typeof autoencoderKLSchema>>

/** @param place what errors call it, such as its file. @throws ModelConfigError with every fault */
export const autoencoderKLConfig = (fields: unknown, place?: string): AutoencoderKLConfig =>
  parseConfig('AutoencoderKL', autoencoderKLSchema, fields, place)

/** diffusers' `VQModel` (models/autoencoders/vq_model.py, v0.42). */
export const vqModelSchema = z
  .object({
    ...coderFields,
    latent_channels: count.default(3),
    num_vq_embeddings: count.default(256),
    /** Width of a code; latent_channels where null. */
    vq_embed_dim: count.nullable().default(null),
    scaling_factor: z.number().default(0.18215),
    /** `spatial`: the decoder's norms see the codes, as MoVQ's. */
    norm_type: z.enum(['group', 'spatial']).default('group'),
    /** For pipelines: whether what they decode are indices. */
    lookup_from_codebook: z.boolean().default(false),
    force_upcast: z.boolean().default(false),
  })
  .check((ctx) => {
    checkBlocks(ctx)
    const { norm_type: norm, vq_embed_dim: width, latent_channels: channels } = ctx.value
    if (norm === 'spatial' && (width ?? channels) !== channels) {
      const message = `is ${width}; spatial norms take codes of latent_channels, ${channels}`
      ctx.issues.push({ code: 'custom', path: ['vq_embed_dim'], message, input: ctx.value })
    }
  })

export type VQModelConfig = Readonly<z.infer<typeof vqModelSchema>>

/** @param place what errors call it, such as its file. @throws ModelConfigError with every fault */
export const vqModelConfig = (fields: unknown, place?: string): VQModelConfig =>
  parseConfig('VQModel', vqModelSchema, fields, place)

const widths = z.array(count).min(1).default([64, 64, 64, 64])

/** diffusers' `AutoencoderTiny` (models/autoencoders/autoencoder_tiny.py, v0.42). */
export const autoencoderTinySchema = z
  .object({
    in_channels: count.default(3),
    out_channels: count.default(3),
    encoder_block_out_channels: widths,
    decoder_block_out_channels: widths,
    act_fn: activation.default('relu'),
    upsample_fn: z.enum(['nearest', 'bilinear']).default('nearest'),
    latent_channels: count.default(4),
    upsampling_scaling_factor: count.default(2),
    num_encoder_blocks: z.array(z.int().min(0)).min(1).default([1, 3, 3, 3]),
    num_decoder_blocks: z.array(z.int().min(0)).min(1).default([3, 3, 3, 1]),
    /** How latents are stored as bytes: [−magnitude, magnitude] about the shift; the network does not use them. */
    latent_magnitude: z.number().positive().default(3),
    latent_shift: z.number().default(0.5),
    force_upcast: z.boolean().default(false),
    scaling_factor: z.number().default(1),
    shift_factor: z.number().default(0),
    /** The decoder's widths again, as upstream saves them. */
    block_out_channels: z.array(count).optional(),
  })
  .check((ctx) => {
    for (const side of ['encoder', 'decoder'] as const) {
      const [blocks, channels] = [ctx.value[`num_${side}_blocks`], ctx.value[`${side}_block_out_channels`]]
      const fault = (message: string) =>
        ctx.issues.push({ code: 'custom', path: [`${side}_block_out_channels`], message, input: ctx.value })
      if (blocks.length !== channels.length) fault(`has ${channels.length} widths, num_${side}_blocks has ${blocks.length}`)
      else if (new Set(channels).size > 1) fault('must be one width: no layer changes it')
    }
  })

export type AutoencoderTinyConfig = Readonly<z.infer<typeof autoencoderTinySchema>>

/** @param place what errors call it, such as its file. @throws ModelConfigError with every fault */
export const autoencoderTinyConfig = (fields: unknown, place?: string): AutoencoderTinyConfig =>
  parseConfig('AutoencoderTiny', autoencoderTinySchema, fields, place)
