import { attention } from '../../core/functions.ts'
import * as core from '../../core/index.ts'
import { dims } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { type Layer, rmsNorm } from '../../nn/layers.ts'
import { type Init, normal, type Params } from '../../nn/params.ts'
import { relativeBias } from '../../nn/relative-bias.ts'
import { feedForwards, type T5Config } from './config.ts'

/** A linear layer without a bias, started from N(0, std²) as T5's all are (Raffel et al. 2020; transformers' `_init_weights`). */
const plain = (p: Params, inputs: number, outputs: number, std: number): Layer => {
  const weight = p.get('weight', [outputs, inputs], normal(std) satisfies Init)
  return (x) => core.linear(x, weight)
}

/** What a layer's attentions are given besides the tokens. */
export interface StackInput {
  /** [1|B, 1|heads, N, N]: added to the scores of self-attention, masks and biases of position in one. */
  readonly bias: readonly Tensor[]
  /** The encoder's states [B, M, D], which a decoder attends to, and [B, 1, 1|N, M] added to the scores. */
  readonly context?: { readonly states: Tensor; readonly mask?: Tensor | undefined } | undefined
}

/**
 * Attention without a scale, which the initial weights take in (Raffel et al. 2020, section 2.1; Shazeer and Stern 2018): x [B, N, D]
 * and context [B, M, D] → [B, N, D].
 */
function t5Attention(p: Params, { d_model: D, d_kv, num_heads: heads, initializer_factor: factor }: T5Config) {
  const inner = heads * d_kv
  const toQ = plain(p.at('q'), D, inner, factor * (D * d_kv) ** -0.5)
  const toK = plain(p.at('k'), D, inner, factor * D ** -0.5)
  const toV = plain(p.at('v'), D, inner, factor * D ** -0.5)
  const toOut = plain(p.at('o'), inner, D, factor * inner ** -0.5)
  return (x: Tensor, context: Tensor, mask?: Tensor): Tensor => {
    const options = { heads, scale: 1, ...(mask && { mask }) }
    return toOut(attention(toQ(x), toK(context), toV(context), options))
  }
}

function feedForward(p: Params, { d_model: D, d_ff, feed_forward_proj, initializer_factor: factor }: T5Config): Layer {
  const { gated, activation } = feedForwards[feed_forward_proj]
  const act: Layer = (x) => (activation === 'relu' ? x.relu() : activation === 'silu' ? x.silu() : x.gelu(activation))
  const wide = (name: string) => plain(p.at(name), D, d_ff, factor * D ** -0.5)
  const [first, gate] = gated ? [wide('wi_0'), wide('wi_1')] : [wide('wi')]
  const narrow = plain(p.at('wo'), d_ff, D, factor * d_ff ** -0.5)
  return (x) => narrow(gate ? act(first(x)).mul(gate(x)) : act(first(x)))
}

/** T5's layers: `block.i`, and the norm after the last of them. Decoders attend to a context between the two parts of each. */
export function stack(p: Params, config: T5Config, { layers, decoder }: { layers: number; decoder: boolean }) {
  const { d_model: D, layer_norm_epsilon: eps } = config
  const blocks = Array.from({ length: layers }, (_, i) => {
    const at = (layer: number) => p.at('block', i, 'layer', layer)
    const norm = (layer: number) => rmsNorm(at(layer).at('layer_norm'), D, eps)
    const own = { norm: norm(0), attend: t5Attention(at(0).at('SelfAttention'), config) }
    const cross = decoder ? { norm: norm(1), attend: t5Attention(at(1).at('EncDecAttention'), config) } : undefined
    const last = decoder ? 2 : 1
    const feed = { norm: norm(last), layer: feedForward(at(last).at('DenseReluDense'), config) }
    return (x: Tensor, bias: Tensor, context: StackInput['context']): Tensor => {
      const normed = own.norm(x)
      let y = x.add(own.attend(normed, normed, bias))
      if (cross && context) y = y.add(cross.attend(cross.norm(y), context.states, context.mask))
      return y.add(feed.layer(feed.norm(y)))
    }
  })
  const finalNorm = rmsNorm(p.at('final_layer_norm'), D, eps)
  return (x: Tensor, { bias, context }: StackInput): Tensor =>
    finalNorm(blocks.reduce((y, block, i) => block(y, (bias[i] ?? bias[0]) as Tensor, context), x))
}

/**
 * Biases of position for N tokens, [1, heads, N, N] for each layer: a table of the distance from query to key, in buckets that widen
 * (Raffel et al. 2020, section 2.1). T5 has one table, in its first layer; UMT5 one in each (Chung et al. 2023).
 */
export function positionBiases(
  p: Params,
  config: T5Config,
  { layers, bidirectional }: { layers: number; bidirectional: boolean },
) {
  const { num_heads, relative_attention_num_buckets: buckets, relative_attention_max_distance: maxDistance } = config
  const options = { buckets, maxDistance, bidirectional, init: normal(config.initializer_factor * config.d_model ** -0.5) }
  const tables = Array.from({ length: config.model_type === 'umt5' ? layers : 1 }, (_, i) =>
    relativeBias(p.at('block', i, 'layer', 0, 'SelfAttention', 'relative_attention_bias'), num_heads, options),
  )
  return (tokens: number): Tensor[] => tables.map((biasOf) => biasOf(tokens))
}

/** [B, N] of 1 (a token to attend to) and 0 → [B, 1, queries, N], −10⁹ where a key is not to be seen. */
export function keyMask(mask: Tensor, queries: number): Tensor {
  const { B, N } = dims(mask, 'B N')
  return mask.cast('f32').sub(1).mul(1e9).reshape([B, 1, 1, N]).expand([B, 1, queries, N])
}
