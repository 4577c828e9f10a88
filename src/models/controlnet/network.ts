import { ArgumentError } from '../../core/errors.ts'
import { dims, range } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { conv, type Layer, sequence } from '../../nn/layers.ts'
import { type Params, zerosInit } from '../../nn/params.ts'
import type { Generator } from '../../runtime/random.ts'
import type { Weights } from '../../runtime/weights.ts'
import { type UNet2DConditionConfig, unet2dConditionConfig } from '../unet-condition/config.ts'
import type { Extras } from '../unet-condition/embeddings.ts'
import { encoderHalf } from '../unet-condition/network.ts'
import type { ControlNetConfig } from './config.ts'

/** What a U-Net adds to its skips, in the order in which they are made, and to its middle. */
export interface Control {
  readonly down: readonly Tensor[]
  readonly mid: Tensor
}

/**
 * sample [B, in_channels, H, W], timestep f32 [B], context [B, M, D], hint [B, conditioning_channels, f·H, f·W] in [0, 1]
 * → the residuals, not yet scaled; f is 2 to the number of halvings in the hint's encoder.
 */
export type ControlNet = (sample: Tensor, timestep: Tensor, context: Tensor, hint: Tensor, extras?: Extras) => Control

/** ControlNet (Zhang et al. 2023, section 3), with the keys of diffusers' `ControlNetModel`. */
export function controlNet(p: Params, config: ControlNetConfig): ControlNet {
  const { block_out_channels: widths, conditioning_channels: channels } = config
  const { embed, convIn, down, mid } = encoderHalf(p, unetOf(config))
  const encodeHint = hintEncoder(p.at('controlnet_cond_embedding'), config)
  const zeroDown = skipWidths(config).map((width, i) => zeroConv(p.at('controlnet_down_blocks', i), width))
  const zeroMid = zeroConv(p.at('controlnet_mid_block'), widths.at(-1) as number)
  const factor = 2 ** (config.conditioning_embedding_out_channels.length - 1)
  const pool: Layer = config.global_pool_conditions ? (x) => x.mean([2, 3], true) : (x) => x

  return (sample, timestep, context, hint, extras = {}) => {
    const { B, H, W } = dims(sample, 'B C H W', { C: config.in_channels })
    dims(context, 'B M D', { B })
    dims(hint, 'B C H W', { B, C: channels, H: factor * H, W: factor * W })
    const given = embed(timestep, context, extras)
    const seen = encodeHint(config.controlnet_conditioning_channel_order === 'bgr' ? hint.flip(1) : hint)
    const { x, skips } = down(convIn(sample).add(seen), given)
    return {
      down: skips.map((skip, i) => pool((zeroDown[i] as Layer)(skip))),
      mid: pool(zeroMid(mid ? mid(x, given) : x)),
    }
  }
}

/** The U-Net whose half it is. */
const unetOf = (config: ControlNetConfig): UNet2DConditionConfig => ({ ...unet2dConditionConfig({}), ...config })

/** A 1×1 convolution that gives zeros until it has learnt. */
const zeroConv = (p: Params, channels: number): Layer => conv(p, channels, channels, 1, { init: zerosInit })

/** Channels of every skip. */
function skipWidths({ block_out_channels: widths, layers_per_block: layers }: ControlNetConfig): number[] {
  const first = widths[0] as number
  return [first, ...widths.flatMap((width, i) => range(i === widths.length - 1 ? layers : layers + 1).map(() => width))]
}

function hintEncoder(p: Params, config: ControlNetConfig): Layer {
  const widths = config.conditioning_embedding_out_channels
  const silu: Layer = (x) => x.silu()
  const blocks = widths.slice(1).flatMap((width, i) => {
    const before = widths[i] as number
    return [
      conv(p.at('blocks', 2 * i), before, before, 3, { padding: 1 }),
      silu,
      conv(p.at('blocks', 2 * i + 1), before, width, 3, { padding: 1, stride: 2 }),
      silu,
    ]
  })
  return sequence(
    conv(p.at('conv_in'), config.conditioning_channels, widths[0] as number, 3, { padding: 1 }),
    silu,
    ...blocks,
    conv(p.at('conv_out'), widths.at(-1) as number, config.block_out_channels[0] as number, 3, { padding: 1, init: zerosInit }),
  )
}

/**
 * A factor for every residual, that of the middle last: `scale` each, or in guess mode rising from a tenth of it at the finest
 * resolution to the whole in the middle (Zhang et al. 2023, section 3.4), unless the network pools its residuals.
 */
export function controlScales(config: ControlNetConfig, scale: number, { guess = false } = {}): number[] {
  const skips = skipWidths(config).length
  const rises = guess && !config.global_pool_conditions
  return range(skips + 1).map((i) => (rises ? scale * 10 ** (i / skips - 1) : scale))
}

/** The residuals by their factors: scales f32 [skips + 1], as an input of the graph so that they may change between steps. */
export function scaleControl({ down, mid }: Control, scales: Tensor): Control {
  dims(scales, 'N', { N: down.length + 1 })
  const factor = (i: number) => scales.slice(0, i, i + 1).reshape([1, 1, 1, 1])
  return { down: down.map((x, i) => x.mul(factor(i))), mid: mid.mul(factor(down.length)) }
}

/** Several controls at once: the sums of their residuals. */
export function sumControl(controls: readonly Control[]): Control {
  const [first, ...rest] = controls
  if (!first) throw new ArgumentError('sumControl: no controls given')
  return rest.reduce(
    (sum, { down, mid }) => ({ down: sum.down.map((x, i) => x.add(down[i] as Tensor)), mid: sum.mid.add(mid) }),
    first,
  )
}

/** The start of training: a copy of the U-Net's weights where both have the key; the hint's encoder is fresh, the rest zero. */
export function controlNetWeights(p: Params, unet: Weights, generator: Generator): Weights {
  return new Map([...p.initialise(generator)].map(([key, fresh]) => [key, unet.get(key) ?? fresh]))
}
