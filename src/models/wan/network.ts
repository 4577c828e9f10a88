import { ArgumentError, ShapeError } from '../../core/errors.ts'
import { attention, linear as linearOf } from '../../core/functions.ts'
import { dims, range, showShape } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { feedForward } from '../../nn/feed-forward.ts'
import { type Layer, layerNorm, linear, plainLayerNorm, rmsNorm, sequence } from '../../nn/layers.ts'
import { gatedSum, modulate } from '../../nn/modulation.ts'
import { fanIn, normal, type Params, zerosInit } from '../../nn/params.ts'
import { type Rotation, rotation } from '../../nn/positions.ts'
import { sinusoidal, timeEmbedding } from '../../nn/time.ts'
import { tokenAttention } from '../../nn/token-attention.ts'
import { rows, textProjection } from '../pixart/network.ts'
import type { WanConfig } from './config.ts'

export interface WanConditions {
  /** The text's states [B, M, text_dim]: all of them are attended to. */
  readonly context: Tensor
  /** An image encoder's tokens [B, K, image_dim], where the network sees them. */
  readonly image?: Tensor | undefined
}

/** sample [B, C, T, H, W], timestep f32 [B] → the velocity [B, out_channels, T, H, W]. */
export type WanTransformer = (sample: Tensor, timestep: Tensor, conditions: WanConditions) => Tensor

/** Wan 2.1's transformer (Wan Team 2025, section 4.2), with the keys of diffusers' `WanTransformer3DModel`. */
export function wanTransformer(p: Params, config: WanConfig): WanTransformer {
  const { num_attention_heads: heads, attention_head_dim: d, in_channels, freq_dim, eps } = config
  const width = heads * d
  const outputs = config.out_channels || in_channels
  const [pt, ph, pw] = config.patch_size
  const volume = pt * ph * pw
  const weight = p.at('patch_embedding').get('weight', [width, in_channels, pt, ph, pw], fanIn(in_channels * volume))
  const bias = p.at('patch_embedding').get('bias', [width], fanIn(in_channels * volume))
  const conditions = p.at('condition_embedder')
  const timeOf = timeEmbedding(conditions.at('time_embedder'), freq_dim, width)
  const shared = linear(conditions.at('time_proj'), width, 6 * width)
  const embedText = textProjection(conditions.at('text_embedder'), config.text_dim, width)
  const embedImage = config.image_dim === null ? undefined : imageEmbedding(conditions.at('image_embedder'), config, width)
  const blocks = Array.from({ length: config.num_layers }, (_, i) => block(p.at('blocks', i), config, width))
  const table = p.get('scale_shift_table', [1, 2, width], normal(width ** -0.5))
  const project = linear(p.at('proj_out'), width, volume * outputs)

  return (sample, timestep, { context, image }) => {
    const { B, T, H, W } = dims(sample, 'B C T H W', { C: in_channels })
    const grid = [T / pt, H / ph, W / pw] as const
    if (!grid.every(Number.isInteger))
      throw new ShapeError(`Wan: latents ${showShape(sample.shape)} do not divide into patches of ${pt}×${ph}×${pw}`)
    const rotated = positions(grid, config)
    const time = timeOf(sinusoidal(timestep, freq_dim, { cosineFirst: true, frequencyShift: 0 }))
    const modulations = shared(time.silu()).reshape([B, 6, width])
    const text = embedText(context)
    const picture = image && embedImage?.(image)
    const tokens = linearOf(volumes(sample, config), weight.reshape([width, in_channels * volume]), bias)
    const y = blocks.reduce((x, run) => run(x, { modulations, text, picture, rotation: rotated }), tokens)
    const [shift, scale] = rows(table.add(time.unsqueeze(1)), 2) as [Tensor, Tensor]
    return project(modulate(plainLayerNorm(eps)(y), shift, scale))
      .reshape([B, ...grid, pt, ph, pw, outputs])
      .transpose(0, 7, 1, 4, 2, 5, 3, 6)
      .reshape([B, outputs, T, H, W])
  }
}

/** Films as patches of time and space: [B, C, T, H, W] → [B, N, C · pt · ph · pw]. */
function volumes(x: Tensor, { patch_size: [pt, ph, pw] }: WanConfig): Tensor {
  const { B, C, T, H, W } = dims(x, 'B C T H W')
  const apart = x.reshape([B, C, T / pt, pt, H / ph, ph, W / pw, pw])
  return apart.transpose(0, 2, 4, 6, 1, 3, 5, 7).reshape([B, (T / pt) * (H / ph) * (W / pw), C * pt * ph * pw])
}

/** Rotary positions of time, rows and columns, the last two of a third of the channels each. */
function positions(
  grid: readonly [number, number, number],
  { attention_head_dim: d, rope_max_seq_len: most }: WanConfig,
): Rotation {
  if (grid.some((n) => n > most))
    throw new ArgumentError(`Wan has positions for ${most} patches along an axis; got ${grid.join('×')}`)
  const third = 2 * Math.floor(d / 6)
  const [frames, height, width] = grid
  const ids = range(frames).flatMap((t) => range(height).flatMap((y) => range(width).map((x) => [t, y, x])))
  return rotation(ids, [d - 2 * third, third, third])
}

/** An image encoder's tokens to the network's width. */
function imageEmbedding(p: Params, { image_dim, pos_embed_seq_len: length }: WanConfig, width: number): Layer {
  const inner = image_dim as number
  const table = length === null ? undefined : p.get('pos_embed', [1, length, inner], zerosInit)
  const project = sequence(
    layerNorm(p.at('norm1'), inner),
    linear(p.at('ff', 'net', 0, 'proj'), inner, inner),
    (x) => x.gelu(),
    linear(p.at('ff', 'net', 2), inner, width),
    layerNorm(p.at('norm2'), width),
  )
  return (x) => {
    if (!table) return project(x)
    // Of a first and a last picture: the tokens of both together have positions.
    const { B, N, D } = dims(x, 'B N D')
    return project(x.reshape([B / 2, 2 * N, D]).add(table))
  }
}

interface Sight {
  /** [B, 6, D], shared by all blocks. */
  readonly modulations: Tensor
  readonly text: Tensor
  readonly picture: Tensor | undefined
  readonly rotation: Rotation
}

/** Attention to itself, to text and picture, and a feed-forward layer; the first and the last modulated by time. */
function block(
  p: Params,
  { num_attention_heads: heads, cross_attn_norm, eps, ffn_dim, added_kv_proj_dim: added }: WanConfig,
  width: number,
) {
  const norm = plainLayerNorm(eps)
  const table = p.get('scale_shift_table', [1, 6, width], normal(width ** -0.5))
  const options = { width, heads, qkNorm: 'rms_norm_across_heads', qkEps: eps } as const
  const attendSelf = tokenAttention(p.at('attn1'), options)
  const attend = crossAttention(p.at('attn2'), { ...options, added })
  const normText: Layer = cross_attn_norm ? layerNorm(p.at('norm2'), width, eps) : (x) => x
  const feed = feedForward(p.at('ffn'), width, { inner: ffn_dim, activation: 'gelu_tanh' })
  return (x: Tensor, { modulations, text, picture, rotation: turn }: Sight): Tensor => {
    const [shift, scale, gate, shiftFeed, scaleFeed, gateFeed] = rows(table.add(modulations), 6) as Six
    const own = modulate(norm(x), shift, scale)
    const y = gatedSum(x, gate, attendSelf(own, own, undefined, turn))
    const z = y.add(attend(normText(y), text, picture))
    return gatedSum(z, gateFeed, feed(modulate(norm(z), shiftFeed, scaleFeed)))
  }
}

/** Attention to a text, and with keys and values of its own to a picture, whose part is added. */
function crossAttention(
  p: Params,
  { width, heads, qkEps, added }: { width: number; heads: number; qkEps: number; added: number | null },
) {
  const [toQ, toK, toV] = ['to_q', 'to_k', 'to_v'].map((key) => linear(p.at(key), width, width)) as [Layer, Layer, Layer]
  const toOut = linear(p.at('to_out', 0), width, width)
  const [normQ, normK] = ['norm_q', 'norm_k'].map((key) => rmsNorm(p.at(key), width, qkEps)) as [Layer, Layer]
  const pictured =
    added === null
      ? undefined
      : {
          k: sequence(linear(p.at('add_k_proj'), added, width), rmsNorm(p.at('norm_added_k'), width, qkEps)),
          v: linear(p.at('add_v_proj'), added, width),
        }
  return (x: Tensor, text: Tensor, picture: Tensor | undefined): Tensor => {
    const q = normQ(toQ(x))
    const seen = attention(q, normK(toK(text)), toV(text), { heads })
    if (!picture || !pictured) return toOut(seen)
    return toOut(seen.add(attention(q, pictured.k(picture), pictured.v(picture), { heads })))
  }
}

type Six = [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
