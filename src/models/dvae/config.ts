import { z } from 'zod'
import type { Shape } from '../../core/shape.ts'
import { parseConfig } from '../config.ts'
import { countOf, shapeIn } from '../shapes.ts'

const count = z.int().positive()
const quarters = z.int().positive().multipleOf(4)

/** Sides of a picture are this many times those of its grid of tokens: a pool after three of the four groups. */
export const DVAE_FACTOR = 8

/** OpenAI's `Encoder` and `Decoder` (dall_e/encoder.py and decoder.py of openai/DALL-E, 5be4b23), by the names of their arguments. */
export const openAIDiscreteVAESchema = z.object({
  /** Channels at full size; at each smaller size twice as many. */
  n_hid: quarters.default(256),
  /** Channels that the decoder embeds tokens in. */
  n_init: count.default(128),
  n_blk_per_group: count.default(2),
  input_channels: count.default(3),
  output_channels: count.default(3),
  /** Codes. */
  vocab_size: count.default(8192),
})
export type OpenAIDiscreteVAEConfig = Readonly<z.infer<typeof openAIDiscreteVAESchema>>

/** @throws ModelConfigError */
export const openAIDiscreteVAEConfig = (fields: unknown, place?: string): OpenAIDiscreteVAEConfig =>
  parseConfig('OpenAIDiscreteVAE', openAIDiscreteVAESchema, fields, place)

/** The config that the shapes of both halves tell. @throws ModelConfigError */
export function openAIDiscreteVAEConfigOf(shapes: ReadonlyMap<string, Shape>, place: string): OpenAIDiscreteVAEConfig {
  const [n_hid, input_channels] = shapeIn(shapes, 'enc.blocks.input.w', 4, place)
  const [n_init, vocab_size] = shapeIn(shapes, 'dec.blocks.input.w', 4, place)
  const [outputs] = shapeIn(shapes, 'dec.blocks.output.conv.w', 4, place)
  const n_blk_per_group = countOf(shapes, /^enc\.blocks\.group_1\.block_(\d+)\./) - 1
  const fields = { n_hid, n_init, n_blk_per_group, input_channels, output_channels: outputs / 2, vocab_size }
  return openAIDiscreteVAEConfig(fields, place)
}

/** DALLE-pytorch's own `DiscreteVAE` (dalle_pytorch.py, 1.6.6), by the names of its arguments. */
export const discreteVAESchema = z.object({
  /** Pixels a side. */
  image_size: z.int().min(2).default(256),
  num_tokens: count.default(512),
  codebook_dim: count.default(512),
  /** Each halves the sides. */
  num_layers: count.default(3),
  num_resnet_blocks: z.int().min(0).default(0),
  hidden_dim: count.default(64),
  channels: count.default(3),
  smooth_l1_loss: z.boolean().default(false),
  temperature: z.number().positive().default(0.9),
  straight_through: z.boolean().default(false),
  reinmax: z.boolean().default(false),
  kl_div_loss_weight: z.number().default(0),
  /** Means and deviations by channel, which pictures in [0, 1] are brought to 0 and 1 by; more are given than there are channels. */
  normalization: z
    .tuple([z.array(z.number()), z.array(z.number())])
    .nullable()
    .default([
      [0.5, 0.5, 0.5, 0],
      [0.5, 0.5, 0.5, 1],
    ]),
})
export type DiscreteVAEConfig = Readonly<z.infer<typeof discreteVAESchema>>

/** @throws ModelConfigError */
export const discreteVAEConfig = (fields: unknown, place?: string): DiscreteVAEConfig =>
  parseConfig('DiscreteVAE', discreteVAESchema, fields, place)
