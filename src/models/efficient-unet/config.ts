import { z } from 'zod'
import { type Activation, activations } from '../../nn/activation.ts'
import { parseConfig } from '../config.ts'

const count = z.int().positive()
const perLevel = <T extends z.ZodType>(value: T) => z.union([value, z.array(value)])

/** What stands after a level's residual blocks: nothing, attention to the text, or to the text and the pixels themselves. */
export const attentions = ['none', 'text', 'text_and_pixels'] as const

/**
 * The Efficient U-Net of Imagen's super-resolution stages (Saharia et al. 2022, appendix B.1). No checkpoint of it was published: the
 * fields are diffusers' where it has them, and the keys are our own.
 */
export const efficientUnetSchema = z
  .object({
    sample_size: count.nullable().default(null),
    /** The state's channels and behind them those of the picture that is enlarged. */
    in_channels: count.default(6),
    out_channels: count.default(3),
    block_out_channels: z.array(count).min(1).default([128, 256, 512, 1024]),
    /** More blocks at low resolutions, where they are cheap. */
    layers_per_block: perLevel(count).default([2, 4, 8, 8]),
    attention: perLevel(z.enum(attentions)).default(['none', 'none', 'none', 'text']),
    attention_head_dim: count.default(64),
    norm_num_groups: count.default(32),
    norm_eps: z.number().positive().default(1e-5),
    act_fn: z.enum(Object.keys(activations) as Activation[]).default('silu'),
    /** Width of the text's states. */
    encoder_hid_dim: count,
    /** Heads of the attention that pools the text into the time. */
    addition_embed_type_num_heads: count.default(8),
    /** What the network is told of the noise in the picture that it enlarges: its level, as a time, or nothing. */
    class_embed_type: z.enum(['timestep']).nullable().default('timestep'),
    num_class_embeds: z.null().default(null),
    cross_attention_dim: count.optional(),
    dropout: z.number().min(0).lt(1).default(0),
  })
  .check((ctx) => {
    const { block_out_channels: widths, layers_per_block: layers, attention, addition_embed_type_num_heads: heads } = ctx.value
    const fault = (field: string, message: string) =>
      ctx.issues.push({ code: 'custom', path: [field], message, input: ctx.value })
    for (const [field, value] of Object.entries({ layers_per_block: layers, attention }))
      if (Array.isArray(value) && value.length !== widths.length)
        fault(field, `has ${value.length} entries, block_out_channels has ${widths.length}`)
    if (ctx.value.encoder_hid_dim % heads !== 0)
      fault('addition_embed_type_num_heads', `${heads} heads do not divide the ${ctx.value.encoder_hid_dim} channels of the text`)
  })

export type EfficientUNetConfig = Readonly<z.infer<typeof efficientUnetSchema>>

/** @throws ModelConfigError with every fault */
export const efficientUnetConfig = (fields: unknown, place?: string): EfficientUNetConfig =>
  parseConfig('EfficientUNet', efficientUnetSchema, fields, place)
