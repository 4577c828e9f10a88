import { z } from 'zod'
import { type Activation, activations } from '../../nn/activation.ts'
import { feedForwardNames } from '../../nn/feed-forward.ts'
import { parseConfig } from '../config.ts'

const count = z.int().positive()
const activation = z.enum(Object.keys(activations) as Activation[])

/** diffusers' `CogVideoXTransformer3DModel` (models/transformers/cogvideox_transformer_3d.py, v0.42). */
export const cogVideoXSchema = z
  .object({
    num_attention_heads: count.default(30),
    attention_head_dim: count.default(64),
    in_channels: count.default(16),
    out_channels: count.nullable().default(16),
    flip_sin_to_cos: z.boolean().default(true),
    freq_shift: z.number().default(0),
    time_embed_dim: count.default(512),
    /** Width of what the network is told of the first frame's offset (1.5's image to video). */
    ofs_embed_dim: count.nullable().default(null),
    text_embed_dim: count.default(4096),
    num_layers: count.default(30),
    dropout: z.number().default(0),
    attention_bias: z.boolean().default(true),
    /** Latents of a frame, and frames of a film, that training saw. */
    sample_width: count.default(90),
    sample_height: count.default(60),
    sample_frames: count.default(49),
    patch_size: count.default(2),
    /** Latent frames in a patch: 1.5's. */
    patch_size_t: count.nullable().default(null),
    temporal_compression_ratio: count.default(4),
    max_text_seq_length: count.default(226),
    activation_fn: z.enum(feedForwardNames).default('gelu-approximate'),
    timestep_activation_fn: activation.default('silu'),
    norm_elementwise_affine: z.boolean().default(true),
    norm_eps: z.number().positive().default(1e-5),
    spatial_interpolation_scale: z.number().positive().default(1.875),
    temporal_interpolation_scale: z.number().positive().default(1),
    use_rotary_positional_embeddings: z.boolean().default(false),
    /** Positions in the checkpoint, for films of one size (5b's image to video). */
    use_learned_positional_embeddings: z.boolean().default(false),
    patch_bias: z.boolean().default(true),
  })
  .check((ctx) => {
    const fault = (field: string, message: string) =>
      ctx.issues.push({ code: 'custom', path: [field], message, input: ctx.value })
    const { ofs_embed_dim: ofs, time_embed_dim: time, attention_head_dim: head } = ctx.value
    if (ofs !== null && ofs !== time) fault('ofs_embed_dim', `is ${ofs}; it is added to the time's ${time}`)
    if (ctx.value.use_learned_positional_embeddings && !ctx.value.use_rotary_positional_embeddings)
      fault('use_learned_positional_embeddings', 'needs use_rotary_positional_embeddings, as in every published checkpoint')
    if (ctx.value.use_rotary_positional_embeddings && head % 16 !== 0)
      fault('attention_head_dim', `is ${head}; rotary positions of three axes need a multiple of 16`)
  })
export type CogVideoXConfig = Readonly<z.infer<typeof cogVideoXSchema>>

/** @throws ModelConfigError with every fault */
export const cogVideoXConfig = (fields: unknown, place?: string): CogVideoXConfig =>
  parseConfig('CogVideoXTransformer3DModel', cogVideoXSchema, fields, place)

const blocks = (name: string) => z.array(z.literal(name)).default([name, name, name, name])

/** diffusers' `AutoencoderKLCogVideoX` (models/autoencoders/autoencoder_kl_cogvideox.py, v0.42). */
export const cogVideoXVaeSchema = z
  .object({
    in_channels: count.default(3),
    out_channels: count.default(3),
    down_block_types: blocks('CogVideoXDownBlock3D'),
    up_block_types: blocks('CogVideoXUpBlock3D'),
    block_out_channels: z.array(count).min(1).default([128, 256, 256, 512]),
    latent_channels: count.default(16),
    layers_per_block: count.default(3),
    act_fn: activation.default('silu'),
    norm_eps: z.number().positive().default(1e-6),
    norm_num_groups: count.default(32),
    temporal_compression_ratio: z.number().min(1).default(4),
    /** Pixels. Tiles have half of it. */
    sample_height: count.default(480),
    sample_width: count.default(720),
    scaling_factor: z.number().positive().default(1.15258426),
    /** Read and left aside, as by the pipelines. */
    shift_factor: z.number().nullable().default(null),
    latents_mean: z.array(z.number()).nullable().default(null),
    latents_std: z.array(z.number()).nullable().default(null),
    force_upcast: z.union([z.boolean(), z.number()]).default(true),
    use_quant_conv: z.boolean().default(false),
    use_post_quant_conv: z.boolean().default(false),
    /** A first frame's latents are divided by the factor: networks of 1.5 learned it so. */
    invert_scale_latents: z.boolean().default(false),
  })
  .check((ctx) => {
    const fault = (field: string, message: string) =>
      ctx.issues.push({ code: 'custom', path: [field], message, input: ctx.value })
    const levels = ctx.value.block_out_channels.length
    for (const field of ['down_block_types', 'up_block_types'] as const) {
      const found = ctx.value[field].length
      if (found !== levels) fault(field, `has ${found} blocks, block_out_channels has ${levels}`)
    }
    const { latent_channels: latents, out_channels: outputs } = ctx.value
    for (const field of ['use_quant_conv', 'use_post_quant_conv'] as const)
      if (ctx.value[field] && latents !== outputs)
        fault(field, `is of ${outputs} channels, and latents have ${latents}: it cannot be followed`)
  })
export type CogVideoXVaeConfig = Readonly<z.infer<typeof cogVideoXVaeSchema>>

/** @throws ModelConfigError with every fault */
export const cogVideoXVaeConfig = (fields: unknown, place?: string): CogVideoXVaeConfig =>
  parseConfig('AutoencoderKLCogVideoX', cogVideoXVaeSchema, fields, place)
