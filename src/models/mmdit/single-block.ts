import { concat } from '../../core/functions.ts'
import type { Tensor } from '../../core/tensor.ts'
import { type Activation, activations } from '../../nn/activation.ts'
import { feedForward } from '../../nn/feed-forward.ts'
import { linear, plainLayerNorm } from '../../nn/layers.ts'
import { gatedSum, modulate, modulation } from '../../nn/modulation.ts'
import type { Params } from '../../nn/params.ts'
import type { Rotation } from '../../nn/positions.ts'
import { tokenAttention } from '../../nn/token-attention.ts'

export interface SingleBlockOptions {
  readonly width: number
  readonly heads: number
  /**
   * `sequential`: attention, then the feed-forward layer, each with its modulation (Peebles and Xie 2023; Stable Diffusion 3.5's
   * ControlNets). `parallel`: both see one modulated input and leave through one layer and one gate (Dehghani et al. 2023, section
   * 2; FLUX.1).
   */
  readonly form?: 'sequential' | 'parallel'
  readonly qkNorm?: 'rms_norm' | undefined
  /** Of the projections to queries, keys and values, and of the feed-forward layer. */
  readonly bias?: boolean
  /** Width between the feed-forward layer's two projections; 4 · width unless given. */
  readonly inner?: number
  readonly activation?: Activation
  /** `sequential`: the feed-forward layer is gated, as SwiGLU. */
  readonly gated?: boolean
  readonly eps?: number
}

/** x [B, N, D], condition [B, D] → [B, N, D]. */
export type SingleBlock = (x: Tensor, condition: Tensor, rotation?: Rotation) => Tensor

/** One block of one stream of tokens, modulated by a condition, with diffusers' keys. */
export const singleBlock = (p: Params, options: SingleBlockOptions): SingleBlock =>
  options.form === 'parallel' ? parallelBlock(p, options) : sequentialBlock(p, options)

function sequentialBlock(p: Params, options: SingleBlockOptions): SingleBlock {
  const { width, heads, qkNorm, bias = true, activation = 'gelu_tanh', gated = false, inner, eps = 1e-6 } = options
  const modulations = modulation(p.at('norm1'), width, width, 6)
  const attend = tokenAttention(p.at('attn'), { width, heads, qkNorm, bias })
  const feed = feedForward(p.at('ff'), width, { activation, gated, bias, ...(inner !== undefined && { inner }) })
  return (x, condition, rotation) => {
    const [shift, scale, gate, shiftFeed, scaleFeed, gateFeed] = modulations(condition) as Six
    const y = gatedSum(x, gate, attend(modulate(plainLayerNorm(eps)(x), shift, scale), undefined, undefined, rotation))
    return gatedSum(y, gateFeed, feed(modulate(plainLayerNorm(eps)(y), shiftFeed, scaleFeed)))
  }
}

function parallelBlock(p: Params, options: SingleBlockOptions): SingleBlock {
  const { width, heads, qkNorm, bias = true, activation = 'gelu_tanh', inner = 4 * width, eps = 1e-6 } = options
  const modulations = modulation(p.at('norm'), width, width, 3)
  const attend = tokenAttention(p.at('attn'), { width, heads, qkNorm, bias, out: false })
  const into = linear(p.at('proj_mlp'), width, inner, { bias })
  const out = linear(p.at('proj_out'), width + inner, width)
  return (x, condition, rotation) => {
    const [shift, scale, gate] = modulations(condition) as [Tensor, Tensor, Tensor]
    const seen = modulate(plainLayerNorm(eps)(x), shift, scale)
    const both = concat([attend(seen, undefined, undefined, rotation), activations[activation](into(seen))], 2)
    return gatedSum(x, gate, out(both))
  }
}

type Six = [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
