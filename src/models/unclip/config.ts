import { z } from 'zod'
import { type Activation, activations } from '../../nn/activation.ts'
import { parseConfig } from '../config.ts'

const count = z.int().positive()
const layerNormOrNone = z.literal('layer').nullable().default(null)

/** diffusers' `PriorTransformer`, with its field names and defaults (models/transformers/prior_transformer.py, v0.42). */
export const priorSchema = z.object({
  num_attention_heads: count.default(32),
  attention_head_dim: count.default(64),
  num_layers: count.default(20),
  /** Width of the picture's embedding and of the text's states. */
  embedding_dim: count.default(768),
  /** Tokens of the text. */
  num_embeddings: count.default(77),
  /** Tokens behind the text: its embedding, the time, the noisy embedding, the query. */
  additional_embeddings: z.literal(4).default(4),
  dropout: z.number().min(0).lt(1).default(0),
  time_embed_act_fn: z.enum(Object.keys(activations) as Activation[]).default('silu'),
  norm_in_type: layerNormOrNone,
  embedding_proj_norm_type: layerNormOrNone,
  encoder_hid_proj_type: z.literal('linear').default('linear'),
  /** `prd`: a learned query at the end, whose state becomes the prediction. */
  added_emb_type: z.literal('prd').default('prd'),
  /** Width between the two layers of the time's embedding; that of the tokens where null. */
  time_embed_dim: count.nullable().default(null),
  /** Width of the text's embedding; `embedding_dim` where null. */
  embedding_proj_dim: count.nullable().default(null),
  /** Width of the prediction; `embedding_dim` where null. */
  clip_embed_dim: count.nullable().default(null),
})
export type PriorConfig = Readonly<z.infer<typeof priorSchema>>

/** @param place what errors call it, such as its file. @throws ModelConfigError with every fault */
export const priorConfig = (fields: unknown, place?: string): PriorConfig =>
  parseConfig('PriorTransformer', priorSchema, fields, place)

/** diffusers' `UnCLIPTextProjModel` (pipelines/deprecated/unclip/text_proj.py, v0.42). */
export const unclipTextSchema = z.object({
  clip_extra_context_tokens: count.default(4),
  clip_embeddings_dim: count.default(768),
  time_embed_dim: count,
  cross_attention_dim: count,
})
export type UnclipTextConfig = Readonly<z.infer<typeof unclipTextSchema>>

/** @param place what errors call it, such as its file. @throws ModelConfigError with every fault */
export const unclipTextConfig = (fields: unknown, place?: string): UnclipTextConfig =>
  parseConfig('UnCLIPTextProjModel', unclipTextSchema, fields, place)

/** diffusers' `StableUnCLIPImageNormalizer` (pipelines/stable_diffusion/stable_unclip_image_normalizer.py, v0.42). */
export const embeddingNormalizerSchema = z.object({ embedding_dim: count.default(768) })
export type EmbeddingNormalizerConfig = Readonly<z.infer<typeof embeddingNormalizerSchema>>

/** @param place what errors call it, such as its file. @throws ModelConfigError with every fault */
export const embeddingNormalizerConfig = (fields: unknown, place?: string): EmbeddingNormalizerConfig =>
  parseConfig('StableUnCLIPImageNormalizer', embeddingNormalizerSchema, fields, place)
