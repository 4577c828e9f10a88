import { attention, concat } from '../../core/functions.ts'
import { dims } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { feedForward } from '../../nn/feed-forward.ts'
import { type Layer, layerNorm, linear, plainLayerNorm, rmsNorm } from '../../nn/layers.ts'
import { gatedSum, modulate } from '../../nn/modulation.ts'
import { normal, type Params, zerosInit } from '../../nn/params.ts'
import { sinusoidal, timeEmbedding } from '../../nn/time.ts'
import { tokenAttention } from '../../nn/token-attention.ts'
import type { VideoDitConfig } from './config.ts'

/** Patches of films, several of which may have other lengths and sizes than the rest: what is left of N is padding. */
export interface PackedFilms {
  /** [B, N, in_channels · pt · p · p]. */
  readonly tokens: Tensor
  /** Timestep of each token, f32 [B, N]: 0 of those that are given (the mask strategy of Open-Sora 1.2). */
  readonly time: Tensor
  /** By how much a token's channels turn, for its time, row and column: [B or 1, N, headDim/2] each. */
  readonly cos: Tensor
  readonly sin: Tensor
  /** [B, N]: 1 a token, 0 padding; none where there is none. */
  readonly present?: Tensor | undefined
}

export interface VideoConditions {
  /** The texts' states [B, M, joint_attention_dim], and the pooled text [B, pooled_projection_dim]. */
  readonly context: Tensor
  readonly pooled: Tensor
  /** Frames a second, f32 [B]. */
  readonly rate: Tensor
}

/** Packed films → the velocity of each token, as its values: [B, N, in_channels · pt · p · p]. */
export type VideoDit = (films: PackedFilms, conditions: VideoConditions) => Tensor

const TIME = 256

/**
 * A diffusion transformer of films (after Peebles and Xie 2023; Brooks et al. 2024; Zheng et al. 2024): spacetime patches with rotary
 * positions, normalised queries and keys, attention to a text, and a modulation of each token's own time.
 */
export function videoDit(p: Params, config: VideoDitConfig): VideoDit {
  const { num_attention_heads: heads, attention_head_dim: d, joint_attention_dim, pooled_projection_dim } = config
  const width = heads * d
  const values = config.in_channels * config.patch_size_t * config.patch_size ** 2
  const embed = linear(p.at('patch_embed'), values, width)
  const ofTime = timeEmbedding(p.at('time_embedder'), TIME, width)
  const ofRate = timeEmbedding(p.at('rate_embedder'), TIME, width)
  const ofText = linear(p.at('text_embedder'), pooled_projection_dim, width)
  const embedContext = linear(p.at('context_embedder'), joint_attention_dim, width)
  const normContext = layerNorm(p.at('context_norm'), width)
  const shared = linear(p.at('modulation'), width, 6 * width, { init: zerosInit })
  const blocks = Array.from({ length: config.num_layers }, (_, i) => block(p.at('blocks', i), config, width))
  const last = linear(p.at('norm_out', 'linear'), width, 2 * width, { init: zerosInit })
  const project = linear(p.at('proj_out'), width, values, { init: zerosInit })
  const encoded = (t: Tensor) => sinusoidal(t, TIME, { cosineFirst: true, frequencyShift: 0 })

  return ({ tokens, time, cos, sin, present }, { context, pooled, rate }) => {
    const { B, N } = dims(tokens, 'B N D', { D: values })
    dims(time, 'B N', { B, N })
    const whole = ofRate(encoded(rate)).add(ofText(pooled)).unsqueeze(1)
    const condition = ofTime(encoded(time.reshape([B * N])))
      .reshape([B, N, width])
      .add(whole)
      .silu()
    const modulations = shared(condition).split(6, 2) as Six
    const text = normContext(embedContext(context))
    const mask = present && present.sub(1).mul(1e9).reshape([B, 1, 1, N]).expand([B, 1, N, N])
    const y = blocks.reduce((x, run) => run(x, { modulations, text, cos, sin, mask }), embed(tokens))
    const [shift, scale] = last(condition).split(2, 2) as [Tensor, Tensor]
    return project(modulate(plainLayerNorm()(y), shift, scale))
  }
}

interface Sight {
  readonly modulations: Six
  readonly text: Tensor
  readonly cos: Tensor
  readonly sin: Tensor
  readonly mask: Tensor | undefined
}
type Six = [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]

/** Attention among the tokens, to the text, and a feed-forward layer; all blocks share one modulation, to which each adds a table. */
function block(p: Params, { num_attention_heads: heads, attention_head_dim: d, mlp_ratio }: VideoDitConfig, width: number) {
  const table = p.get('scale_shift_table', [6, width], normal(width ** -0.5))
  const norm = plainLayerNorm()
  const [toQ, toK, toV, toOut] = ['to_q', 'to_k', 'to_v', 'to_out'].map((key) => linear(p.at('attn1', key), width, width)) as [
    Layer,
    Layer,
    Layer,
    Layer,
  ]
  const [normQ, normK] = ['norm_q', 'norm_k'].map((key) => rmsNorm(p.at('attn1', key), d, 1e-6)) as [Layer, Layer]
  const attendText = tokenAttention(p.at('attn2'), { width, heads, qkNorm: 'rms_norm' })
  const normText = layerNorm(p.at('norm2'), width)
  const feed = feedForward(p.at('ff'), width, { inner: Math.round(mlp_ratio * width), activation: 'gelu_tanh' })
  return (x: Tensor, { modulations, text, cos, sin, mask }: Sight): Tensor => {
    const [shift, scale, gate, shiftFeed, scaleFeed, gateFeed] = modulations.map((one, i) =>
      one.add(table.slice(0, i, i + 1)),
    ) as Six
    const own = modulate(norm(x), shift, scale)
    const [q, k] = [normQ, normK].map((each, i) => turned(each, (i === 0 ? toQ : toK)(own), { cos, sin, heads })) as [
      Tensor,
      Tensor,
    ]
    const y = gatedSum(x, gate, toOut(attention(q, k, toV(own), { heads, finite: true, ...(mask && { mask }) })))
    const z = y.add(attendText(normText(y), text))
    return gatedSum(z, gateFeed, feed(modulate(norm(z), shiftFeed, scaleFeed)))
  }
}

/** Each head normalised, and its neighbouring channels turned: x [B, N, heads · d]. */
function turned(norm: Layer, x: Tensor, { cos, sin, heads }: { cos: Tensor; sin: Tensor; heads: number }): Tensor {
  const { B, N, D } = dims(x, 'B N D')
  const half = D / heads / 2
  const [c, s] = [cos, sin].map((angle) => angle.reshape([angle.shape[0] as number, N, 1, half, 1])) as [Tensor, Tensor]
  const [a, b] = norm(x.reshape([B, N, heads, 2 * half]))
    .reshape([B, N, heads, half, 2])
    .split(2, 4) as [Tensor, Tensor]
  return concat([a.mul(c).sub(b.mul(s)), b.mul(c).add(a.mul(s))], 4).reshape([B, N, D])
}
