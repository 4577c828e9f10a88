import { ArgumentError } from '../../core/errors.ts'
import { concat } from '../../core/functions.ts'
import { dims, sameShape, showShape } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { activations } from '../../nn/activation.ts'
import type { Dropout } from '../../nn/dropout.ts'
import { conv, groupNorm, type Layer } from '../../nn/layers.ts'
import type { Params } from '../../nn/params.ts'
import type { Common, Conditioned } from './block-types.ts'
import { downBlock, midBlock, upBlock } from './blocks.ts'
import { headDimOf, type Level, levelsOf, type UNet2DConditionConfig } from './config.ts'
import { type Conditioning, conditioning, type Extras, type Given, HINT_CHANNELS } from './embeddings.ts'

/** What other networks add to this one's features. */
export interface Residuals {
  /** A ControlNet's residuals for the skips, in the order in which they are made, and for the middle: both or neither. */
  readonly downResiduals?: readonly Tensor[] | undefined
  readonly midResidual?: Tensor | undefined
  /** A T2I-Adapter's features: one for each of the first down blocks, then one for the middle where it is left. */
  readonly adapterFeatures?: readonly Tensor[] | undefined
}

/**
 * sample [B, in_channels, H, W] (of which a control image fills the last 4 where the config takes one), timestep f32 [B], context [B, M, cross_attention_dim or encoder_hid_dim]
 * → [B, out_channels, H, W]. Any H and W will do.
 */
export type UNet2DCondition = (sample: Tensor, timestep: Tensor, context: Tensor, extras?: Extras & Residuals) => Tensor

export interface UNet2DConditionOptions {
  /** For training where the config has dropout; without it nothing is dropped. */
  readonly dropout?: Dropout
}

/** The U-Net of latent diffusion (Rombach et al. 2022, section 3.3), with the keys of diffusers' `UNet2DConditionModel`. */
export function unet2dCondition(
  p: Params,
  config: UNet2DConditionConfig,
  { dropout }: UNet2DConditionOptions = {},
): UNet2DCondition {
  const levels = levelsOf(config)
  const widths = config.block_out_channels
  const first = widths[0] as number
  const { embed, hint, timeWidth, convIn, down, mid } = encoderHalf(p, config, dropout)
  const channels = config.in_channels - (hint ? HINT_CHANNELS : 0)
  const common: Common = { config, timeWidth, dropout }
  const deepest = widths.length - 1
  /** Channels of a level, 0 the finest; levels beyond an end have those of the end. */
  const width = (level: number) => widths[Math.min(Math.max(level, 0), deepest)] as number
  const up = config.up_block_types.map((name, i) => {
    const at = deepest - i
    const level = levels[at] as Level
    const depth = config.reverse_transformer_layers_per_block?.[i] ?? level.depth
    // Upstream counts these sizes of heads from the finest level here too, and checkpoints were trained so.
    const headDim = headDimOf(config, i, level.channels)
    const place = {
      ...{ inputs: width(at + 1), level: { ...level, depth, headDim }, above: width(at - 1), last: at === 0, index: i },
      skipped: i > 0 || config.down_block_types.at(-1) !== 'KCrossAttnDownBlock2D',
    }
    return upBlock(p.at('up_blocks', i), name, place, common)
  })
  const groups = config.norm_num_groups
  const normOut = groups === null ? undefined : groupNorm(p.at('conv_norm_out'), groups, first, config.norm_eps)
  const convOut = samePadded(p.at('conv_out'), first, config.out_channels, config.conv_out_kernel)

  return (sample, timestep, context, extras = {}) => {
    const { B } = dims(sample, 'B C H W', { C: channels })
    dims(context, 'B M D', { B })
    const given = embed(timestep, context, extras)
    const centred = config.center_input_sample ? sample.mul(2).sub(1) : sample
    const seen = hint ? concat([centred, hint(extras)], 1) : centred
    const below = down(convIn(seen), given, extras.adapterFeatures)
    const middle = mid ? mid(below.x, given) : below.x
    const adapted = withLeftFeatures(middle, below.features)
    let { x, skips } = withControl(adapted, below.skips, extras)
    for (const block of up) {
      const size = skips.at(-1 - block.takes)?.shape.slice(2)
      const left = skips.length - block.takes
      x = block.apply(x, skips.slice(left), given, size)
      skips = skips.slice(0, left)
    }
    return convOut(normOut ? activations[config.act_fn](normOut(x)) : x)
  }
}

/** What a U-Net and its ControlNet have in common: the embeddings, the way down and the middle. */
export interface EncoderHalf extends Conditioning {
  readonly convIn: Layer
  /** The features after `convIn`, with an adapter's → the features, every skip, and what of the adapter's is left. */
  readonly down: (
    x: Tensor,
    given: Given,
    features?: readonly Tensor[],
  ) => { readonly x: Tensor; readonly skips: readonly Tensor[]; readonly features: readonly Tensor[] }
  readonly mid: Conditioned | undefined
}

export function encoderHalf(p: Params, config: UNet2DConditionConfig, dropout?: Dropout): EncoderHalf {
  const levels = levelsOf(config)
  const first = config.block_out_channels[0] as number
  const { embed, hint, timeWidth } = conditioning(p, config)
  const common: Common = { config, timeWidth, dropout }
  const blocks = levels.map((level, i) => {
    const place = { inputs: levels[Math.max(i - 1, 0)]?.channels as number, level, last: i === levels.length - 1 }
    return downBlock(p.at('down_blocks', i), config.down_block_types[i] as string, place, common)
  })
  return {
    embed,
    hint,
    timeWidth,
    convIn: samePadded(p.at('conv_in'), config.in_channels, first, config.conv_in_kernel),
    down: (x, given, features = []) => {
      const skips = [x]
      for (const [i, block] of blocks.entries()) {
        const left = block(x, given, features[i])
        skips.push(...left.skips)
        x = left.x
      }
      return { x, skips, features: features.slice(blocks.length) }
    },
    mid: midBlock(p.at('mid_block'), levels.at(-1) as Level, common),
  }
}

/** An odd kernel keeps the size. */
const samePadded = (p: Params, inputs: number, outputs: number, kernel: number): Layer =>
  conv(p, inputs, outputs, kernel, { padding: Math.floor((kernel - 1) / 2) })

function withLeftFeatures(x: Tensor, features: readonly Tensor[]): Tensor {
  const [last, ...more] = features
  if (!last) return x
  if (more.length > 0 || !sameShape(last.shape, x.shape)) {
    throw new ArgumentError(
      `unet2dCondition: adapter features ${features.map(({ shape }) => showShape(shape)).join(', ')} are left after the down ` +
        `blocks; the middle takes one of ${showShape(x.shape)}`,
    )
  }
  return x.add(last)
}

function withControl(x: Tensor, skips: readonly Tensor[], { downResiduals, midResidual }: Residuals) {
  if (!downResiduals && !midResidual) return { x, skips }
  if (!downResiduals || !midResidual || downResiduals.length !== skips.length) {
    throw new ArgumentError(
      `unet2dCondition: downResiduals and midResidual come together, ${skips.length} and one; ` +
        `got ${downResiduals?.length ?? 'none'} and ${midResidual ? 'one' : 'none'}`,
    )
  }
  return { x: x.add(midResidual), skips: skips.map((skip, i) => skip.add(downResiduals[i] as Tensor)) }
}
