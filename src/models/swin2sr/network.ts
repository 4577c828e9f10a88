import { concat } from '../../core/functions.ts'
import { linear as linearOf } from '../../core/index.ts'
import { dims } from '../../core/shape.ts'
import { constant, type Tensor, zeros } from '../../core/tensor.ts'
import { conv, type Layer, layerNorm, linear } from '../../nn/layers.ts'
import { fill, normal, type Params, zerosInit } from '../../nn/params.ts'
import { type Parts, restoration } from '../swinir/network.ts'
import { biasOf, inWindows, type WindowOptions } from '../swinir/window-attention.ts'
import type { Swin2SrConfig } from './config.ts'

/** Width of the layer that makes biases of distances. */
const HIDDEN = 512

/**
 * Swin2SR (Conde et al. 2022): SwinIR with the blocks of the second Swin transformer (Liu et al. 2022). Pictures [B, C, H, W] in [0, 1] →
 * [B, C, upscale·H, upscale·W]. Keys are the published files'.
 */
export function swin2Sr(p: Params, config: Swin2SrConfig): Layer {
  const { embed_dim: width, mlp_ratio, qkv_bias } = config
  const inner = Math.trunc(width * mlp_ratio)
  const parts: Parts = {
    block: (at, options) => secondBlock(at, { ...options, inner, bias: qkv_bias }),
    embed: (at) => {
      const project = conv(at.at('proj'), width, width, 1)
      return (x) => project(x)
    },
  }
  return restoration(p, config, parts)
}

/** Attention and a feed-forward layer, each before its norm (Liu et al. 2022, fig. 1): pixels [B, H, W, C]. */
function secondBlock(p: Params, options: WindowOptions & { readonly inner: number; readonly bias: boolean }): Layer {
  const { width, inner } = options
  const attend = cosineAttention(p.at('attn'), options)
  const norms = ['norm1', 'norm2'].map((name) => layerNorm(p.at(name), width)) as [Layer, Layer]
  const wide = linear(p.at('mlp', 'fc1'), width, inner)
  const narrow = linear(p.at('mlp', 'fc2'), inner, width)
  return (x) => {
    const y = x.add(norms[0](attend(x)))
    return y.add(norms[1](narrow(wide(y).gelu())))
  }
}

/**
 * Attention by the cosine of queries and keys, with a factor learnt for each head, and biases that a small network makes of distances
 * (Liu et al. 2022, eq. 2–4). Keys have no bias of their own.
 */
function cosineAttention(p: Params, options: WindowOptions & { readonly bias: boolean }): Layer {
  const { width, heads, window, bias } = options
  const weight = p.at('qkv').get('weight', [3 * width, width], normal(0.02))
  const [forQ, forV] = bias ? ['q_bias', 'v_bias'].map((key) => p.get(key, [width], zerosInit)) : []
  const shift = forQ && forV && concat([forQ, zeros([width]), forV], 0)
  const factor = p.get('logit_scale', [heads, 1, 1], fill(Math.log(10)))
  const perHead = factor.minimum(Math.log(100)).exp().reshape([heads, 1])

  const hidden = linear(p.at('cpb_mlp', 0), 2, HIDDEN)
  const toHeads = linear(p.at('cpb_mlp', 2), HIDDEN, heads, { bias: false })
  const table = toHeads(hidden(constant(logDistances(window), [(2 * window - 1) ** 2, 2])).relu())

  /** [B, N, C], each head of length 1. */
  const unit = (x: Tensor): Tensor => {
    const { B, N } = dims(x, 'B N C')
    const split = x.reshape([B, N, heads, width / heads])
    const length = split.square().sum(3, true).sqrt().maximum(1e-12)
    return split.div(length)
  }
  const joined = (x: Tensor): Tensor => {
    const { B, N } = dims(x, 'B N H d')
    return x.reshape([B, N, width])
  }
  return inWindows(options, {
    toQkv: (x) => linearOf(x, weight, shift),
    prepare: (q, k, v) => [joined(unit(q).mul(perHead)), joined(unit(k)), v],
    scale: 1,
    bias: biasOf(table, window, heads).sigmoid().mul(16),
    project: linear(p.at('proj'), width, width),
  })
}

/** Distances of −(window − 1) to window − 1 down and across, on a logarithmic scale: [(2·window − 1)², 2]. */
function logDistances(window: number): Float32Array {
  const side = 2 * window - 1
  const scaled = (i: number) => {
    const distance = Math.fround(((i - window + 1) / (window - 1)) * 8)
    return Math.sign(distance) * (Math.log2(Math.abs(distance) + 1) / Math.log2(8))
  }
  return Float32Array.from({ length: side * side * 2 }, (_, i) => {
    const at = Math.floor(i / 2)
    return scaled(i % 2 === 0 ? Math.floor(at / side) : at % side)
  })
}
