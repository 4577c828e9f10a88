import { dims } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { linear, plainLayerNorm } from '../../nn/layers.ts'
import { modulate, modulation } from '../../nn/modulation.ts'
import { type Init, type Params, zerosInit } from '../../nn/params.ts'
import { patchEmbedding, unpatchify } from '../../nn/patches.ts'
import { centreCrop, gridPositions } from '../../nn/positions.ts'
import { sinusoidal, timeEmbedding } from '../../nn/time.ts'
import { textProjection } from '../pixart/network.ts'
import { jointBlock, type Streams } from './block.ts'
import type { MmditConfig } from './config.ts'

/** What the network is conditioned on besides time. */
export interface MmditConditions {
  /** The texts' states [B, M, joint_attention_dim]. */
  readonly context: Tensor
  /** The pooled texts [B, pooled_projection_dim]. */
  readonly pooled: Tensor
  /** What a ControlNet adds after blocks: each [B, N, D], spread evenly over the blocks. */
  readonly residuals?: readonly Tensor[] | undefined
  /** Blocks left out, by number (skip-layer guidance). */
  readonly skipLayers?: readonly number[] | undefined
  /** Told the picture's tokens [B, N, D] behind each block, for what else is learnt from them. */
  readonly onBlock?: ((block: number, x: Tensor) => void) | undefined
}

/** sample [B, C, H, W], timestep f32 [B] → the velocity [B, out_channels, H, W]. */
export type MmditTransformer = (sample: Tensor, timestep: Tensor, conditions: MmditConditions) => Tensor

const TIME = 256

/** Time and pooled text as one vector: [B, width]. */
export function timeTextEmbedding(p: Params, pooled: number, width: number) {
  const ofTime = timeEmbedding(p.at('timestep_embedder'), TIME, width)
  const ofText = textProjection(p.at('text_embedder'), pooled, width, 'silu')
  return (timestep: Tensor, text: Tensor): Tensor =>
    ofTime(sinusoidal(timestep, TIME, { cosineFirst: true, frequencyShift: 0 })).add(ofText(text))
}

/** A picture's patches with the middle of a table of positions, which the checkpoint holds as `pos_embed.pos_embed`. */
export function croppedPatches(
  p: Params,
  config: Pick<MmditConfig, 'patch_size' | 'in_channels' | 'sample_size'>,
  width: number,
  max: number,
) {
  const { patch_size: patch, in_channels, sample_size } = config
  const embed = patchEmbedding(p.at('proj'), in_channels, width, patch)
  const base = Math.floor(sample_size / patch)
  const init: Init = () => gridPositions(width, [max, max], { base }).reshape([1, max * max, width])
  const table = p.get('pos_embed', [1, max * max, width], init)
  return (sample: Tensor): Tensor => {
    const { H, W } = dims(sample, 'B C H W', { C: in_channels })
    return embed(sample).add(centreCrop(table.stopGradient().squeeze(0), max, [H / patch, W / patch]).unsqueeze(0))
  }
}

/** Stable Diffusion 3's transformer (Esser et al. 2024, section 4), with the keys of diffusers' `SD3Transformer2DModel`. */
export function mmditTransformer(p: Params, config: MmditConfig): MmditTransformer {
  const { num_layers, num_attention_heads: heads, patch_size: patch, in_channels, qk_norm } = config
  const width = heads * config.attention_head_dim
  const outputs = config.out_channels ?? in_channels
  const embed = croppedPatches(p.at('pos_embed'), config, width, config.pos_embed_max_size)
  const conditionOf = timeTextEmbedding(p.at('time_text_embed'), config.pooled_projection_dim, width)
  const embedText = linear(p.at('context_embedder'), config.joint_attention_dim, width)
  const blocks = Array.from({ length: num_layers }, (_, i) =>
    jointBlock(p.at('transformer_blocks', i), {
      ...{ width, heads, qkNorm: qk_norm ?? undefined },
      contextEnds: i === num_layers - 1,
      dual: config.dual_attention_layers.includes(i),
    }),
  )
  const last = modulation(p.at('norm_out'), width, width, 2)
  const project = linear(p.at('proj_out'), width, patch ** 2 * outputs, { init: zerosInit })
  return (sample, timestep, { context, pooled, residuals = [], skipLayers = [], onBlock }) => {
    const { H, W } = dims(sample, 'B C H W')
    const condition = conditionOf(timestep, pooled)
    let streams: Streams = { x: embed(sample), context: embedText(context) }
    for (const [i, block] of blocks.entries()) {
      if (!skipLayers.includes(i)) streams = block(streams, condition)
      const residual = residuals[Math.floor(i / (num_layers / residuals.length))]
      if (residual && i < num_layers - 1) streams = { ...streams, x: streams.x.add(residual) }
      onBlock?.(i, streams.x)
    }
    const [scale, shift] = last(condition) as [Tensor, Tensor]
    const y = modulate(plainLayerNorm()(streams.x), shift, scale)
    return unpatchify(project(y), H / patch, W / patch, patch)
  }
}
