import { z } from 'zod'
import { ModelConfigError, parseTransformersConfig } from '../config.ts'

const count = z.int().positive()

/** A bidirectional language model of Llama's layers, whatever its checkpoint calls them. */
export interface LanguageConfig {
  readonly vocabulary: number
  readonly width: number
  readonly layers: number
  readonly heads: number
  /** Heads of keys and values; each serves several heads of queries where they are fewer (Ainslie et al. 2023). */
  readonly keyHeads: number
  readonly headDim: number
  /** Width of the feed-forward layers. */
  readonly inner: number
  /** Base of the rotary positions' frequencies. */
  readonly theta: number
  readonly eps: number
  /** Whether the projections to queries, keys and values have biases. */
  readonly projectionBias: boolean
  /** Whether the embedding table reads the vocabulary too. */
  readonly tied: boolean
  /** Tokens that training saw at most. */
  readonly length: number
  readonly mask: number
  readonly end: number | undefined
  readonly pad: number | undefined
}

/** LLaDA's (Nie et al. 2025): the fields of its own `config.json` that decide the network. */
const lladaSchema = z.object({
  d_model: count.default(4096),
  n_layers: count.default(32),
  n_heads: count.default(32),
  n_kv_heads: count.optional(),
  mlp_hidden_size: count.default(12288),
  vocab_size: count.default(126464),
  /** Rows of the embedding where they are more than the tokens. */
  embedding_size: count.optional(),
  max_sequence_length: count.default(4096),
  rope_theta: z.number().positive().default(500000),
  rms_norm_eps: z.number().positive().default(1e-5),
  mask_token_id: z.int().min(0).default(126336),
  eos_token_id: z.int().min(0).optional(),
  pad_token_id: z.int().min(0).optional(),
  include_bias: z.boolean().default(false),
  include_qkv_bias: z.boolean().default(false),
  weight_tying: z.boolean().default(false),
  block_type: z.literal('llama').default('llama'),
  activation_type: z.literal('silu').default('silu'),
  layer_norm_type: z.literal('rms').default('rms'),
  rope: z.literal(true).default(true),
  alibi: z.literal(false).default(false),
})

/** Dream's (Ye et al. 2025), which are Qwen2.5's. */
const dreamSchema = z.object({
  hidden_size: count.default(3584),
  intermediate_size: count.default(18944),
  num_hidden_layers: count.default(28),
  num_attention_heads: count.default(28),
  num_key_value_heads: count.default(4),
  vocab_size: count.default(152064),
  max_position_embeddings: count.default(131072),
  rope_theta: z.number().positive().default(1000000),
  rms_norm_eps: z.number().positive().default(1e-6),
  hidden_act: z.literal('silu').default('silu'),
  tie_word_embeddings: z.boolean().default(false),
  mask_token_id: z.int().min(0).default(151666),
  eos_token_id: z.int().min(0).optional(),
  pad_token_id: z.int().min(0).optional(),
})

/** Configs of transformers 5 keep the rotary base with the scaling of positions, which these models have none of. */
function rotaryFields(fields: unknown): unknown {
  if (typeof fields !== 'object' || fields === null) return fields
  const nested = (fields as Record<string, unknown>).rope_parameters
  const theta = typeof nested === 'object' && nested !== null ? (nested as Record<string, unknown>).rope_theta : undefined
  return { ...fields, ...(theta !== undefined && { rope_theta: theta }) }
}

function checked(config: LanguageConfig, place: string): LanguageConfig {
  const { heads, keyHeads, width, headDim, mask, vocabulary } = config
  const faults = [
    ...(heads * headDim === width && headDim % 2 === 0 ? [] : [`${heads} heads do not divide a width of ${width} evenly`]),
    ...(heads % keyHeads === 0 ? [] : [`${keyHeads} heads of keys do not divide ${heads} of queries`]),
    ...(mask < vocabulary ? [] : [`the mask is token ${mask}, and there are ${vocabulary}`]),
  ]
  if (faults.length > 0)
    throw new ModelConfigError(
      place,
      faults.map((message) => ({ field: '', message })),
    )
  return config
}

/** @param place what errors call it. @throws ModelConfigError with every fault */
export function lladaConfig(fields: unknown, place = 'LLaDAModelLM'): LanguageConfig {
  const read = parseTransformersConfig('LLaDAModelLM', lladaSchema, fields, place)
  if (read.include_bias)
    throw new ModelConfigError(place, [{ field: 'include_bias', message: 'is true; only models without biases are known' }])
  return checked(
    {
      vocabulary: read.embedding_size ?? read.vocab_size,
      width: read.d_model,
      layers: read.n_layers,
      heads: read.n_heads,
      keyHeads: read.n_kv_heads ?? read.n_heads,
      headDim: read.d_model / read.n_heads,
      inner: read.mlp_hidden_size,
      theta: read.rope_theta,
      eps: read.rms_norm_eps,
      projectionBias: read.include_qkv_bias,
      tied: read.weight_tying,
      length: read.max_sequence_length,
      mask: read.mask_token_id,
      end: read.eos_token_id,
      pad: read.pad_token_id,
    },
    place,
  )
}

/** @param place what errors call it. @throws ModelConfigError with every fault */
export function dreamConfig(fields: unknown, place = 'DreamModel'): LanguageConfig {
  const read = parseTransformersConfig('DreamModel', dreamSchema, rotaryFields(fields), place)
  return checked(
    {
      vocabulary: read.vocab_size,
      width: read.hidden_size,
      layers: read.num_hidden_layers,
      heads: read.num_attention_heads,
      keyHeads: read.num_key_value_heads,
      headDim: read.hidden_size / read.num_attention_heads,
      inner: read.intermediate_size,
      theta: read.rope_theta,
      eps: read.rms_norm_eps,
      projectionBias: true,
      tied: read.tie_word_embeddings,
      length: read.max_position_embeddings,
      mask: read.mask_token_id,
      end: read.eos_token_id,
      pad: read.pad_token_id,
    },
    place,
  )
}
