import { attention } from '../../core/functions.ts'
import type { Tensor } from '../../core/tensor.ts'
import { type Layer, layerNorm, linear } from '../../nn/layers.ts'
import { normal, type Params, zerosInit } from '../../nn/params.ts'
import { geluKinds } from './config.ts'

/** The fields that both halves' transformers have. */
export interface EncoderFields {
  readonly hidden_size: number
  readonly intermediate_size: number
  readonly num_hidden_layers: number
  readonly num_attention_heads: number
  readonly hidden_act: keyof typeof geluKinds
  readonly layer_norm_eps: number
  readonly initializer_factor: number
}

/** Which tokens see which: an additive mask [1|B, 1, N, N], and whether later tokens stay hidden. */
export interface Sight {
  readonly mask?: Tensor | undefined
  readonly causal: boolean
}

/** A linear layer that starts as CLIP's do: N(0, std²), biases 0. */
export const dense = (p: Params, inputs: number, outputs: number, std: number, { bias = true } = {}): Layer =>
  linear(p, inputs, outputs, { bias, init: normal(std), biasInit: zerosInit })

/** One layer: attention and a feed-forward part, each after a norm and with its residual (Radford et al. 2021, section 2.4). */
function layer(p: Params, config: EncoderFields): (x: Tensor, sight: Sight) => Tensor {
  const { hidden_size: D, intermediate_size: inner, num_attention_heads: heads, layer_norm_eps: eps } = config
  const inputs = D ** -0.5 * (2 * config.num_hidden_layers) ** -0.5 * config.initializer_factor
  const outputs = D ** -0.5 * config.initializer_factor
  const own = p.at('self_attn')
  const [toQ, toK, toV] = ['q_proj', 'k_proj', 'v_proj'].map((name) => dense(own.at(name), D, D, inputs)) as [Layer, Layer, Layer]
  const toOut = dense(own.at('out_proj'), D, D, outputs)
  const norm1 = layerNorm(p.at('layer_norm1'), D, eps)
  const norm2 = layerNorm(p.at('layer_norm2'), D, eps)
  const fc1 = dense(p.at('mlp', 'fc1'), D, inner, (2 * D) ** -0.5 * config.initializer_factor)
  const fc2 = dense(p.at('mlp', 'fc2'), inner, D, inputs)
  const kind = geluKinds[config.hidden_act]
  return (x, { mask, causal }) => {
    const h = norm1(x)
    const mixed = attention(toQ(h), toK(h), toV(h), mask ? { heads, causal, mask } : { heads, causal })
    const a = x.add(toOut(mixed))
    return a.add(fc2(fc1(norm2(a)).gelu(kind)))
  }
}

/** x [B, N, D] → the hidden states: x itself, then the result of every layer. */
export function encoder(p: Params, config: EncoderFields) {
  const layers = Array.from({ length: config.num_hidden_layers }, (_, i) => layer(p.at('layers', i), config))
  return (x: Tensor, sight: Sight): Tensor[] => {
    const states = [x]
    for (const apply of layers) states.push(apply(states.at(-1) as Tensor, sight))
    return states
  }
}
