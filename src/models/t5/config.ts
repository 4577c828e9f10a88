import { z } from 'zod'
import type { GeluKind } from '../../core/ops/elementwise.ts'
import { parseTransformersConfig } from '../config.ts'

const count = z.int().positive()

/** `feed_forward_proj` of the published checkpoints: the activation, and whether a gate multiplies it (Shazeer 2020). */
export const feedForwards = {
  relu: { gated: false, activation: 'relu' },
  'gated-gelu': { gated: true, activation: 'tanh' },
  'gated-silu': { gated: true, activation: 'silu' },
} as const satisfies Record<string, { gated: boolean; activation: GeluKind | 'relu' | 'silu' }>

/** The fields of transformers' `T5Config` and `UMT5Config` that decide the network, with T5's defaults (models/t5, v5.24). */
export const t5Schema = z.object({
  model_type: z.enum(['t5', 'umt5', 'mt5']).default('t5'),
  vocab_size: count.default(32128),
  d_model: count.default(512),
  d_kv: count.default(64),
  d_ff: count.default(2048),
  num_layers: count.default(6),
  /** As many as the encoder has unless given. */
  num_decoder_layers: count.optional(),
  num_heads: count.default(8),
  relative_attention_num_buckets: count.default(32),
  relative_attention_max_distance: count.default(128),
  layer_norm_epsilon: z.number().positive().default(1e-6),
  initializer_factor: z.number().positive().default(1),
  feed_forward_proj: z.enum(Object.keys(feedForwards) as (keyof typeof feedForwards)[]).default('relu'),
  /** The first T5's decoder reads its vocabulary by the embedding of its tokens; v1.1 and later have a table of their own for it. */
  tie_word_embeddings: z.boolean().default(true),
  pad_token_id: z.int().min(0).default(0),
  eos_token_id: z.int().min(0).default(1),
  decoder_start_token_id: z.int().min(0).default(0),
})
export type T5Config = Readonly<z.infer<typeof t5Schema>>

/** @param place what errors call it, such as its file. @throws ModelConfigError with every fault */
export const t5Config = (fields: unknown, place?: string): T5Config => parseTransformersConfig('T5', t5Schema, fields, place)
