import { concat } from '../../core/functions.ts'
import { dims } from '../../core/shape.ts'
import { constant, type Tensor } from '../../core/tensor.ts'
import { type FeedForwardOptions, feedForward } from '../../nn/feed-forward.ts'
import { type Layer, layerNorm, linear, plainLayerNorm } from '../../nn/layers.ts'
import { gatedSum, modulate } from '../../nn/modulation.ts'
import { normal, type Params } from '../../nn/params.ts'
import { patchEmbedding, unpatchify } from '../../nn/patches.ts'
import { gridPositions } from '../../nn/positions.ts'
import { sinusoidal, timeEmbedding } from '../../nn/time.ts'
import { tokenAttention } from '../../nn/token-attention.ts'
import { type PixartConfig, takesSize } from './config.ts'

/** What the network is conditioned on besides time. */
export interface PixartConditions {
  /** The text's states [B, M, caption_channels]. */
  readonly context: Tensor
  /** [B, M]: 1 a token to attend to, 0 not. */
  readonly contextMask?: Tensor | undefined
  /** Height and width in pixels [B, 2], and their ratio [B, 1]: where the network takes them. */
  readonly resolution?: Tensor | undefined
  readonly aspectRatio?: Tensor | undefined
}

/** sample [B, C, H, W], timestep f32 [B] → [B, out_channels, H, W]. */
export type PixartTransformer = (sample: Tensor, timestep: Tensor, conditions: PixartConditions) => Tensor

const TIME = 256
const encoded = (t: Tensor) => sinusoidal(t, TIME, { cosineFirst: true, frequencyShift: 0 })

/** Time, and the picture's size where the network takes it, as one vector (Chen et al. 2024, section 2.3): [B, width]. */
function embedTime(p: Params, config: PixartConfig, width: number) {
  const ofTime = timeEmbedding(p.at('timestep_embedder'), TIME, width)
  const third = Math.floor(width / 3)
  const sizes = takesSize(config)
    ? ['resolution_embedder', 'aspect_ratio_embedder'].map((key) => timeEmbedding(p.at(key), TIME, third))
    : []
  return (timestep: Tensor, given: readonly (Tensor | undefined)[]): Tensor => {
    const { B } = dims(timestep, 'B')
    const more = sizes.map((embed, i) => embed(encoded((given[i] as Tensor).reshape([-1]))).reshape([B, -1]))
    return more.length === 0 ? ofTime(encoded(timestep)) : ofTime(encoded(timestep)).add(concat(more, 1))
  }
}

/**
 * PixArt's transformer (Chen et al. 2024): DiT whose blocks attend to a text, and share one modulation of time, to which each adds a
 * table of its own (adaLN-single). Keys as in diffusers' `PixArtTransformer2DModel`.
 */
export function pixartTransformer(p: Params, config: PixartConfig): PixartTransformer {
  const { in_channels, patch_size: patch, sample_size, num_layers, num_attention_heads: heads, caption_channels } = config
  const width = heads * config.attention_head_dim
  const outputs = config.out_channels ?? in_channels
  const embed = patchEmbedding(p.at('pos_embed', 'proj'), in_channels, width, patch)
  const timeOf = embedTime(p.at('adaln_single', 'emb'), config, width)
  const shared = linear(p.at('adaln_single', 'linear'), width, 6 * width)
  const caption = caption_channels === null ? undefined : textProjection(p.at('caption_projection'), caption_channels, width)
  const options = { heads, headDim: config.attention_head_dim, bias: config.attention_bias, eps: config.norm_eps }
  const blocks = Array.from({ length: num_layers }, (_, i) =>
    crossBlock(p.at('transformer_blocks', i), { ...options, contextWidth: config.cross_attention_dim }),
  )
  const table = p.get('scale_shift_table', [2, width], normal(width ** -0.5))
  const project = linear(p.at('proj_out'), width, patch ** 2 * outputs)
  const interpolationScale = config.interpolation_scale ?? Math.max(Math.floor(sample_size / 64), 1)
  return (sample, timestep, { context, contextMask, resolution, aspectRatio }) => {
    const { B, H, W } = dims(sample, 'B C H W', { C: in_channels })
    const grid = [H / patch, W / patch] as const
    const positions = gridPositions(width, grid, { base: Math.floor(sample_size / patch), interpolationScale })
    const tokens = embed(sample).add(constant(positions.data, [1, grid[0] * grid[1], width]))
    const time = timeOf(timestep, [resolution, aspectRatio])
    const modulations = shared(time.silu()).reshape([B, 6, width])
    const text = caption ? caption(context) : context
    const mask = contextMask && hidden(contextMask, grid[0] * grid[1])
    const y = blocks.reduce((x, block) => block(x, modulations, text, mask), tokens)
    const [shift, scale] = rows(table.unsqueeze(0).add(time.unsqueeze(1)), 2) as [Tensor, Tensor]
    return unpatchify(project(modulate(plainLayerNorm()(y), shift, scale)), grid[0], grid[1], patch)
  }
}

/** [B, n, D] → n of [B, D]: the rows of a modulation. */
export const rows = (x: Tensor, n: number): Tensor[] => x.split(n, 1).map((row) => row.squeeze(1))

/** [B, M] of 1 and 0 → [B, 1, N, M], −10,000 where a token is not to be seen, as diffusers has it. */
function hidden(mask: Tensor, queries: number): Tensor {
  const { B, M } = dims(mask, 'B M')
  return mask.cast('f32').sub(1).mul(10_000).reshape([B, 1, 1, M]).expand([B, 1, queries, M])
}

/** The text's states to the tokens' width. */
export function textProjection(p: Params, inputs: number, width: number, activation: 'gelu_tanh' | 'silu' = 'gelu_tanh'): Layer {
  const first = linear(p.at('linear_1'), inputs, width)
  const second = linear(p.at('linear_2'), width, width)
  return (x) => second(activation === 'silu' ? first(x).silu() : first(x).gelu('tanh'))
}

export type CrossBlock = (x: Tensor, modulations: Tensor, context?: Tensor, mask?: Tensor) => Tensor

export interface CrossBlockOptions {
  readonly heads: number
  readonly headDim: number
  readonly bias: boolean
  readonly eps: number
  /** Width of what the block attends to; without it the block sees itself alone. */
  readonly contextWidth?: number | undefined
  readonly feed?: FeedForwardOptions
  /** Whether the norms have weights of their own. */
  readonly affine?: boolean
}

/**
 * Attention to itself, to a text, and a feed-forward layer: x [B, N, D], modulations [B, 6, D] that all blocks share, context [B, M, C],
 * mask [1|B, 1, N, M]. What attends to the text is not normalised.
 */
export function crossBlock(p: Params, options: CrossBlockOptions): CrossBlock {
  const { heads, headDim, bias, eps, contextWidth, feed: feedOptions = { activation: 'gelu_tanh' }, affine = false } = options
  const width = heads * headDim
  const [norm, normFeed] = ['norm1', 'norm2'].map((key) => (affine ? layerNorm(p.at(key), width, eps) : plainLayerNorm(eps))) as [
    Layer,
    Layer,
  ]
  const table = p.get('scale_shift_table', [6, width], normal(width ** -0.5))
  const attendSelf = tokenAttention(p.at('attn1'), { width, heads, bias })
  const attendText = contextWidth === undefined ? undefined : tokenAttention(p.at('attn2'), { width, heads, bias, contextWidth })
  const feed = feedForward(p.at('ff'), width, feedOptions)
  return (x, modulations, context, mask) => {
    const [shift, scale, gate, shiftFeed, scaleFeed, gateFeed] = rows(table.unsqueeze(0).add(modulations), 6) as Six
    const y = gatedSum(x, gate, attendSelf(modulate(norm(x), shift, scale)))
    const z = attendText ? y.add(attendText(y, context, mask)) : y
    return gatedSum(z, gateFeed, feed(modulate(normFeed(z), shiftFeed, scaleFeed)))
  }
}

type Six = [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
