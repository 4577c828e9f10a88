import { z } from 'zod'
import { range } from '../../core/shape.ts'
import { parseConfig } from '../config.ts'
import { attentionTypes } from './masks.ts'

const count = z.int().positive()
const ids = z.array(z.int()).nullable().default(null)

/**
 * DALLE-pytorch's `DALLE` (dalle_pytorch.py, 1.6.6), by the names of its arguments, with what it takes from its autoencoder, and with
 * what the paper's transformer needs: its attention types, no layer scale, a plain GELU.
 */
export const dalleSchema = z.object({
  dim: count.default(512),
  depth: count.default(12),
  heads: count.default(8),
  dim_head: count.default(64),
  /** Tokens of the vocabulary, without those that pad; 0 is padding wherever it stands. */
  num_text_tokens: count.default(10_000),
  text_seq_len: count.default(256),
  /** Codes of the autoencoder. */
  num_image_tokens: count.default(8192),
  /** Tokens along a side of a picture. */
  image_fmap_size: count.default(32),
  /** What layers see, the list repeated over the depth; full attention where there is none. */
  attn_types: z.array(z.enum(attentionTypes)).min(1).nullable().default(null),
  /** Rows and columns that `conv` sees. */
  conv_kernel: z.int().positive().default(11),
  loss_img_weight: z.number().positive().default(7),
  /** Residual branches of two halves of the state, which DALLE-pytorch trains with less memory. */
  reversible: z.boolean().default(false),
  stable: z.boolean().default(false),
  /** A norm after each branch too. */
  sandwich_norm: z.boolean().default(false),
  shift_tokens: z.boolean().default(true),
  /** Rotary positions; else embeddings of text positions, rows and columns. */
  rotary_emb: z.boolean().default(true),
  share_input_output_emb: z.boolean().default(false),
  /** Each branch times a weight a channel (Touvron et al. 2021). */
  layer_scale: z.boolean().default(true),
  activation: z.enum(['geglu', 'gelu']).default('geglu'),
  // Of training, or of how fast it runs: the network is the same. Layers that share weights have them in the file each.
  attn_dropout: z.number().default(0),
  ff_dropout: z.number().default(0),
  optimize_for_inference: z.boolean().default(false),
  sparse_attn: z.literal(false).default(false),
  shared_attn_ids: ids,
  shared_ff_ids: ids,
})
export type DalleConfig = Readonly<z.infer<typeof dalleSchema>>

const checked = dalleSchema.check((ctx) => {
  const { dim, dim_head, rotary_emb, shift_tokens } = ctx.value
  const fault = (path: string, message: string) => ctx.issues.push({ code: 'custom', path: [path], message, input: ctx.value })
  if (shift_tokens && dim % 4 !== 0) fault('dim', `is ${dim}; shift_tokens moves quarters of it`)
  if (rotary_emb && (dim_head % 2 !== 0 || dim_head < 6))
    fault('dim_head', `is ${dim_head}; rotary_emb takes even ones from 6 on`)
})

/** @throws ModelConfigError */
export const dalleConfig = (fields: unknown, place?: string): DalleConfig => parseConfig('DALLE', checked, fields, place)

/** The paper's attention types: columns where (i − 2) mod 4 = 0 for layer i from 1, else rows; a convolution in the last (appendix B.1). */
export const paperAttention = (depth: number): ('row' | 'column' | 'conv')[] =>
  range(depth).map((i) => (i === depth - 1 ? 'conv' : (i - 1) % 4 === 0 ? 'column' : 'row'))

/** What makes a `DALLE` the paper's, beside its sizes. */
export const paperFields = (depth: number) =>
  ({
    ...{ depth, attn_types: paperAttention(depth), activation: 'gelu' },
    ...{ shift_tokens: false, rotary_emb: false, layer_scale: false },
  }) as const

/** Lengths that follow from a config. */
export function lengthsOf({ text_seq_len, image_fmap_size }: DalleConfig) {
  const image = image_fmap_size ** 2
  return {
    /** Text tokens with the start before them. */
    text: text_seq_len + 1,
    /** Tokens of a picture. */
    image,
    /** What goes in, at most: the last token of a picture has nothing to predict. */
    inputs: text_seq_len + image,
  }
}

/** Text tokens with those that pad: one for each position. */
export const textVocabulary = ({ num_text_tokens, text_seq_len }: DalleConfig): number => num_text_tokens + text_seq_len

/** A text's tokens as the network takes them: a start, then `text_seq_len` numbers, a token of its own at each position that is empty. */
export function textInput(tokens: readonly number[], { num_text_tokens, text_seq_len }: DalleConfig): number[] {
  return [0, ...range(text_seq_len).map((i) => tokens[i] || num_text_tokens + i)]
}
