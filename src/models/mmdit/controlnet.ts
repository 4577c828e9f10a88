import { z } from 'zod'
import { ShapeError } from '../../core/errors.ts'
import type { Tensor } from '../../core/tensor.ts'
import { linear } from '../../nn/layers.ts'
import { type Params, zerosInit } from '../../nn/params.ts'
import { patchEmbedding } from '../../nn/patches.ts'
import { parseConfig } from '../config.ts'
import { jointBlock, type Streams } from './block.ts'
import { mmditFields, widthsFit } from './config.ts'
import { croppedPatches, timeTextEmbedding } from './network.ts'
import { singleBlock } from './single-block.ts'

const flag = z.boolean()

/** diffusers' `SD3ControlNetModel` (models/controlnets/controlnet_sd3.py, v0.42), in InstantX's form and in Stability's. */
export const sd3ControlNetSchema = z
  .object({
    ...mmditFields,
    /** Null: the blocks see no text (Stability's, of 8 billion parameters). */
    joint_attention_dim: z.int().positive().nullable().default(4096),
    /** Channels of the control image beside its latents, as a mask. */
    extra_conditioning_channels: z.int().min(0).default(0),
    pos_embed_type: z.literal('sincos').nullable().default('sincos'),
    /** Whether it embeds latents itself; else it takes them embedded by the transformer that it controls. */
    use_pos_embed: flag.default(true),
    /** Whether pipelines give it zeros for the pooled text. */
    force_zeros_for_pooled_projection: flag.default(true),
  })
  .check((ctx) => {
    if (ctx.value.joint_attention_dim !== null) widthsFit(ctx)
  })
export type Sd3ControlNetConfig = Readonly<z.infer<typeof sd3ControlNetSchema>>

/** @throws ModelConfigError with every fault */
export const sd3ControlNetConfig = (value: unknown, place?: string): Sd3ControlNetConfig =>
  parseConfig('SD3ControlNetModel', sd3ControlNetSchema, value, place)

/** What the network sees besides the noisy latents and the time. */
export interface Sd3ControlConditions {
  /** The control image's latents, with its extra channels: [B, C + extra, H, W]. */
  readonly control: Tensor
  /** The pooled texts [B, pooled_projection_dim]. */
  readonly pooled: Tensor
  /** The texts' states [B, M, joint_attention_dim], where the network takes them. */
  readonly context?: Tensor | undefined
}

/**
 * Latents [B, C, H, W], or their tokens [B, N, D] where the network has no embedding of its own; timestep f32 [B] → what is added
 * after the transformer's blocks, each [B, N, D].
 */
export type Sd3ControlNet = (latents: Tensor, timestep: Tensor, conditions: Sd3ControlConditions) => Tensor[]

/** Stable Diffusion 3's ControlNet (Zhang et al. 2023), with the keys of diffusers' `SD3ControlNetModel`. */
export function sd3ControlNet(p: Params, config: Sd3ControlNetConfig): Sd3ControlNet {
  const { num_layers, num_attention_heads: heads, patch_size: patch, in_channels, joint_attention_dim: text } = config
  const { qk_norm, dual_attention_layers: duals, extra_conditioning_channels: extra } = config
  const width = heads * config.attention_head_dim
  const embed = config.use_pos_embed ? embedding(p.at('pos_embed'), config, width) : undefined
  const conditionOf = timeTextEmbedding(p.at('time_text_embed'), config.pooled_projection_dim, width)
  const embedText = text === null ? undefined : linear(p.at('context_embedder'), text, width)
  const each = <T>(make: (own: Params, i: number) => T) =>
    Array.from({ length: num_layers }, (_, i) => make(p.at('transformer_blocks', i), i))
  const qkNorm = qk_norm ?? undefined
  const joint = embedText && each((own, i) => jointBlock(own, { width, heads, qkNorm, dual: duals.includes(i) }))
  const single = embedText ? undefined : each((own) => singleBlock(own, { width, heads }))
  const outs = Array.from({ length: num_layers }, (_, i) =>
    linear(p.at('controlnet_blocks', i), width, width, { init: zerosInit }),
  )
  const embedControl = patchEmbedding(p.at('pos_embed_input', 'proj'), in_channels + extra, width, patch)

  return (latents, timestep, { control, pooled, context }) => {
    if (latents.rank !== (embed ? 4 : 3))
      throw new ShapeError(
        `SD3ControlNetModel: latents of rank ${latents.rank}; with use_pos_embed ${!!embed} it takes ${embed ? 4 : 3}`,
      )
    if ((context === undefined) !== (embedText === undefined))
      throw new ShapeError(
        `SD3ControlNetModel: it ${embedText ? 'takes' : 'takes no'} text (joint_attention_dim ${text}) and gets ${context ? 'some' : 'none'}`,
      )
    const condition = conditionOf(timestep, pooled)
    const x = (embed ? embed(latents) : latents).add(embedControl(control))
    const states = joint
      ? after({ x, context: (embedText as (x: Tensor) => Tensor)(context as Tensor) }, joint, (streams, block) =>
          block(streams, condition),
        ).map((streams) => streams.x)
      : after(x, single ?? [], (tokens, block) => block(tokens, condition))
    return states.map((state, i) => (outs[i] as (x: Tensor) => Tensor)(state))
  }
}

/** Patches with the table of positions, or without any. */
const embedding = (p: Params, config: Sd3ControlNetConfig, width: number) =>
  config.pos_embed_type === null
    ? patchEmbedding(p.at('proj'), config.in_channels, width, config.patch_size)
    : croppedPatches(p, config, width, config.pos_embed_max_size)

/** The states after each block. */
function after<S extends Tensor | Streams, B>(start: S, blocks: readonly B[], run: (state: S, block: B) => S): S[] {
  const found: S[] = []
  for (const block of blocks) found.push(run(found.at(-1) ?? start, block))
  return found
}
