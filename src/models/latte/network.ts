import { ArgumentError } from '../../core/errors.ts'
import { dims } from '../../core/shape.ts'
import { constant, type Tensor } from '../../core/tensor.ts'
import { feedForwards } from '../../nn/feed-forward.ts'
import { linear, plainLayerNorm } from '../../nn/layers.ts'
import { modulate } from '../../nn/modulation.ts'
import { normal, type Params } from '../../nn/params.ts'
import { patchEmbedding, unpatchify } from '../../nn/patches.ts'
import { gridPositions, sinCosPositions } from '../../nn/positions.ts'
import { sinusoidal, timeEmbedding } from '../../nn/time.ts'
import { crossBlock, rows, textProjection } from '../pixart/network.ts'
import type { LatteConfig } from './config.ts'

/** What the network is conditioned on besides time. */
export interface LatteConditions {
  /** The text's states [B, M, caption_channels]: all of them are attended to. */
  readonly context: Tensor
  /** Whether frames see each other; unless false. Without it every frame is a picture of its own. */
  readonly temporal?: boolean
}

/** sample [B, C, T, H, W], timestep f32 [B] → [B, out_channels, T, H, W]. */
export type LatteTransformer = (sample: Tensor, timestep: Tensor, conditions: LatteConditions) => Tensor

const TIME = 256

/**
 * Latte's transformer (Ma et al. 2024, variant 1): PixArt's blocks on the patches of each frame, in turn with blocks without a text on
 * the frames of each patch. Keys as in diffusers' `LatteTransformer3DModel`.
 */
export function latteTransformer(p: Params, config: LatteConfig): LatteTransformer {
  const { in_channels, num_attention_heads: heads, attention_head_dim: headDim, patch_size: patch, sample_size } = config
  const width = heads * headDim
  const outputs = config.out_channels ?? in_channels
  const embed = patchEmbedding(p.at('pos_embed', 'proj'), in_channels, width, patch)
  const timeOf = timeEmbedding(p.at('adaln_single', 'emb', 'timestep_embedder'), TIME, width)
  const shared = linear(p.at('adaln_single', 'linear'), width, 6 * width)
  const caption = textProjection(p.at('caption_projection'), config.caption_channels, width)
  const options = {
    ...{ heads, headDim, bias: config.attention_bias, eps: config.norm_eps },
    ...{ feed: feedForwards[config.activation_fn], affine: config.norm_elementwise_affine },
  }
  const contextWidth = config.cross_attention_dim ?? undefined
  const blocks = Array.from({ length: config.num_layers }, (_, i) => ({
    spatial: crossBlock(p.at('transformer_blocks', i), { ...options, contextWidth }),
    temporal: crossBlock(p.at('temporal_transformer_blocks', i), options),
  }))
  const table = p.get('scale_shift_table', [2, width], normal(width ** -0.5))
  const project = linear(p.at('proj_out'), width, patch ** 2 * outputs)
  const interpolationScale = Math.max(Math.floor(sample_size / 64), 1)

  return (sample, timestep, { context, temporal = true }) => {
    const { B, T, H, W } = dims(sample, 'B C T H W', { C: in_channels })
    if (temporal && T > 1 && T !== config.video_length)
      throw new ArgumentError(`Latte has positions for ${config.video_length} frames, or one; got ${T}`)
    const grid = [H / patch, W / patch] as const
    const N = grid[0] * grid[1]
    const positions = gridPositions(width, grid, { base: Math.floor(sample_size / patch), interpolationScale })
    const frames = sample.transpose(0, 2, 1, 3, 4).reshape([B * T, in_channels, H, W])
    let x = embed(frames).add(constant(positions.data, [1, N, width]))
    const time = timeOf(sinusoidal(timestep, TIME, { cosineFirst: true, frequencyShift: 0 }))
    const modulations = shared(time.silu()).reshape([B, 6, width])
    const text = repeated(caption(context), T)
    const [ofFrame, ofPlace] = [repeated(modulations, T), repeated(modulations, N)]
    for (const [i, block] of blocks.entries()) {
      x = block.spatial(x, ofFrame, text)
      if (!temporal) continue
      let y = swapped(x, B, T)
      if (i === 0 && T > 1) y = y.add(constant(sinCosPositions(width, T).data, [1, T, width]))
      x = swapped(block.temporal(y, ofPlace), B, N)
    }
    const [shift, scale] = rows(table.unsqueeze(0).add(repeated(time.unsqueeze(1), T)), 2) as [Tensor, Tensor]
    const y = unpatchify(project(modulate(plainLayerNorm()(x), shift, scale)), grid[0], grid[1], patch)
    return y.reshape([B, T, outputs, H, W]).transpose(0, 2, 1, 3, 4)
  }
}

/** Each entry of a batch so often, one after another: [B, …] → [B · count, …]. */
function repeated(x: Tensor, count: number): Tensor {
  const [B, ...rest] = x.shape as [number, ...number[]]
  return x
    .unsqueeze(1)
    .expand([B, count, ...rest])
    .reshape([B * count, ...rest])
}

/** [B · count, N, D] → [B · N, count, D]: frames of patches as patches of frames, and back. */
function swapped(x: Tensor, B: number, count: number): Tensor {
  const { N, D } = dims(x, 'A N D')
  return x
    .reshape([B, count, N, D])
    .transpose(0, 2, 1, 3)
    .reshape([B * N, count, D])
}
