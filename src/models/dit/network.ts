import { dims } from '../../core/shape.ts'
import { constant, type Tensor } from '../../core/tensor.ts'
import { feedForward } from '../../nn/feed-forward.ts'
import { embedding, linear, plainLayerNorm } from '../../nn/layers.ts'
import { gatedSum, modulate, modulation } from '../../nn/modulation.ts'
import { normal, type Params, zerosInit } from '../../nn/params.ts'
import { patchEmbedding, unpatchify } from '../../nn/patches.ts'
import { gridPositions } from '../../nn/positions.ts'
import { sinusoidal, timeEmbedding } from '../../nn/time.ts'
import { tokenAttention } from '../../nn/token-attention.ts'
import type { DitConfig } from './config.ts'

/** sample [B, C, H, W], timestep f32 [B], classLabels i64 [B] (`num_embeds_ada_norm` is no class) → [B, out_channels, H, W]. */
export type DitTransformer = (sample: Tensor, timestep: Tensor, classLabels: Tensor) => Tensor

/** Channels of the encoded time. */
const TIME = 256

/**
 * Diffusion transformer conditioned on classes (Peebles and Xie 2023, section 3), with the keys of diffusers' `DiTTransformer2DModel`: every
 * block embeds time and class by layers of its own, and the end takes the first block's.
 */
export function ditTransformer(p: Params, config: DitConfig): DitTransformer {
  const { in_channels, patch_size: patch, sample_size, num_layers, num_attention_heads: heads, attention_head_dim } = config
  const width = heads * attention_head_dim
  const outputs = config.out_channels ?? in_channels
  const embed = patchEmbedding(p.at('pos_embed', 'proj'), in_channels, width, patch)
  const blocks = Array.from({ length: num_layers }, (_, i) => ditBlock(p.at('transformer_blocks', i), config, width))
  const first = blocks[0] as (typeof blocks)[number]
  const last = linear(p.at('proj_out_1'), width, 2 * width, { init: zerosInit })
  const project = linear(p.at('proj_out_2'), width, patch ** 2 * outputs, { init: zerosInit })
  return (sample, timestep, classLabels) => {
    const { H, W } = dims(sample, 'B C H W', { C: in_channels })
    const grid = [H / patch, W / patch] as const
    const positions = gridPositions(width, grid, { base: Math.floor(sample_size / patch) })
    const tokens = embed(sample).add(constant(positions.data, [1, grid[0] * grid[1], width]))
    const y = blocks.reduce((x, block) => block.run(x, block.condition(timestep, classLabels)), tokens)
    const [shift, scale] = last(first.condition(timestep, classLabels).silu()).split(2, 1) as [Tensor, Tensor]
    return unpatchify(project(modulate(plainLayerNorm()(y), shift, scale)), grid[0], grid[1], patch)
  }
}

/** One block with its own embedding of time and class (Peebles and Xie 2023, fig. 3: adaLN-Zero): at its start it is the identity. */
export function ditBlock(p: Params, config: DitConfig, width: number) {
  const { num_attention_heads: heads, attention_bias: bias, num_embeds_ada_norm: classes, norm_eps } = config
  const at = p.at('norm1', 'emb')
  const embedTime = timeEmbedding(at.at('timestep_embedder'), TIME, width)
  const embedClass = embedding(at.at('class_embedder', 'embedding_table'), classes + 1, width, { init: normal(0.02) })
  const modulations = modulation(p.at('norm1'), width, width, 6)
  const attend = tokenAttention(p.at('attn1'), { width, heads, bias })
  const feed = feedForward(p.at('ff'), width, { activation: 'gelu_tanh' })
  return {
    condition: (timestep: Tensor, classLabels: Tensor): Tensor =>
      embedTime(sinusoidal(timestep, TIME, { cosineFirst: true, frequencyShift: 1 })).add(embedClass(classLabels)),
    run: (x: Tensor, condition: Tensor): Tensor => {
      const [shift, scale, gate, shiftFeed, scaleFeed, gateFeed] = modulations(condition) as Six
      const y = gatedSum(x, gate, attend(modulate(plainLayerNorm()(x), shift, scale)))
      return gatedSum(y, gateFeed, feed(modulate(plainLayerNorm(norm_eps)(y), shiftFeed, scaleFeed)))
    },
  }
}

type Six = [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
