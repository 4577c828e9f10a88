import { z } from 'zod'
import { concat } from '../../core/functions.ts'
import { dims } from '../../core/shape.ts'
import { arange, type Tensor } from '../../core/tensor.ts'
import { embedding, layerNorm, linear } from '../../nn/layers.ts'
import { normal, type Params } from '../../nn/params.ts'
import { parseConfig } from '../config.ts'
import { causalScores, priorBlock } from './prior.ts'

const count = z.int().positive()

/** The autoregressive prior of DALL·E 2 (Ramesh et al. 2022, section 2.2). The names of its fields are ours: it was never released. */
export const autoregressivePriorSchema = z.object({
  num_attention_heads: count.default(32),
  attention_head_dim: count.default(64),
  num_layers: count.default(20),
  /** Width of the text's embedding and states. */
  embedding_dim: count.default(768),
  /** Tokens of the text. */
  num_embeddings: count.default(77),
  /** Tokens of an embedding: its principal components. */
  components: count.default(319),
  /** Values of each. */
  buckets: count.default(1024),
  /** Values of the token that says how near the picture is to the text. */
  likeness_buckets: count.default(64),
})
export type AutoregressivePriorConfig = Readonly<z.infer<typeof autoregressivePriorSchema>>

/** @param place what errors call it, such as its file. @throws ModelConfigError with every fault */
export const autoregressivePriorConfig = (fields: unknown, place?: string): AutoregressivePriorConfig =>
  parseConfig('AutoregressivePrior', autoregressivePriorSchema, fields, place)

/** What the prior is given before the tokens. */
export interface AutoregressiveConditions {
  /** [B, embedding_dim], [B, num_embeddings, embedding_dim], f32 [B, num_embeddings]. */
  readonly textEmbeds: Tensor
  readonly context: Tensor
  readonly contextMask: Tensor
  /** Bucket of the text's and the picture's product: i64 [B]. */
  readonly likeness: Tensor
}

/**
 * An embedding's tokens one after another, by a decoder-only transformer over the text's states, its embedding, and a token of the product
 * of both embeddings: codes i64 [B, components] → logits [B, components, buckets], those of a place by the codes before it alone.
 */
export function autoregressivePrior(p: Params, config: AutoregressivePriorConfig) {
  const { num_attention_heads: heads, attention_head_dim: head, embedding_dim: D, num_embeddings: M, components: K } = config
  const width = heads * head
  const length = M + 1 + K
  const start = { init: normal(0.02) }
  const projectText = linear(p.at('embedding_proj'), D, width)
  const projectStates = linear(p.at('encoder_hidden_states_proj'), D, width)
  const embedLikeness = embedding(p.at('likeness_embedding'), config.likeness_buckets, width, start)
  const embedCode = embedding(p.at('code_embedding'), config.buckets, width, start)
  const positions = p.get('positional_embedding', [1, length, width], normal(0.02))
  const blocks = Array.from({ length: config.num_layers }, (_, i) => priorBlock(p.at('transformer_blocks', i), width, heads))
  const normOut = layerNorm(p.at('norm_out'), width)
  const toLogits = linear(p.at('proj_to_codes'), width, config.buckets)
  return (codes: Tensor, { textEmbeds, context, contextMask, likeness }: AutoregressiveConditions): Tensor => {
    const { B } = dims(codes, 'B K', { K })
    dims(context, 'B M D', { B, M, D })
    const before = K > 1 ? [embedCode(codes.slice(1, 0, K - 1))] : []
    const prefix = [projectStates(context), projectText(textEmbeds).unsqueeze(1), embedLikeness(likeness).unsqueeze(1)]
    const tokens = concat([...prefix, ...before], 1).add(positions)
    const hidden = contextMask
      .sub(1)
      .mul(10000)
      .padAxis(1, 0, length - M)
      .reshape([B, 1, 1, length])
    const mask = causalScores(length).add(hidden)
    const y = blocks.reduce((x, layer) => layer(x, mask), tokens)
    return toLogits(normOut(y.slice(1, M + 1, M + 1 + K)))
  }
}

/** Mean −ln p of the codes, in nats a token: logits [B, K, V], codes i64 [B, K]. */
export function codesLoss(logits: Tensor, codes: Tensor): Tensor {
  const { V } = dims(logits, 'B K V')
  const right = codes.unsqueeze(2).eq(arange(V, 'i64')).cast('f32')
  return logits.logSoftmax(2).mul(right).sum(2).neg().mean()
}
