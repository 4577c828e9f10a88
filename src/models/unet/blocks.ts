import { avgPool, concat } from '../../core/functions.ts'
import { range } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { type Dropout, keepAll } from '../../nn/dropout.ts'
import { firDownsample, firUpsample } from '../../nn/fir.ts'
import { conv, groupNorm, type Layer } from '../../nn/layers.ts'
import type { Params } from '../../nn/params.ts'
import { downConv, upConv } from '../../nn/resample.ts'
import { type ResnetOptions, resnetBlock, type TimedLayer } from '../../nn/resnet.ts'
import { type SpatialAttentionOptions, spatialAttention } from '../../nn/spatial-attention.ts'
import type { DownBlockType, UNet2DConfig, UpBlockType } from './config.ts'

/** What the blocks of one network share. */
export interface Common {
  readonly config: UNet2DConfig
  /** Width of the time embedding. */
  readonly timeWidth: number
  readonly dropout?: Dropout | undefined
}

/** What passes from block to block. */
export interface Flow {
  /** The features [B, C, H, W]. */
  readonly x: Tensor
  /** What the way down leaves for the way up, which takes it from the end. */
  readonly skips: readonly Tensor[]
  /** The picture that NCSN++ keeps beside the features: the input on the way down, the growing output on the way up. */
  readonly picture: Tensor | undefined
}
export type Block = (flow: Flow, time: Tensor) => Flow

/** A block's place: `last` is the one that keeps the resolution. */
export interface DownPlace {
  readonly inputs: number
  readonly outputs: number
  readonly last: boolean
}
export interface UpPlace extends DownPlace {
  /** Channels of the block above, whose skip comes last. */
  readonly above: number
}

/** How a plain block changes the resolution: by a convolution, or by a residual block. */
type Resampling = (config: UNet2DConfig) => 'conv' | 'resnet'

/** Skip blocks are those of NCSN++ (Song et al. 2021, appendix H). */
export const downBlocks: Record<DownBlockType, (p: Params, place: DownPlace, common: Common) => Block> = {
  DownBlock2D: plainDown(false, () => 'conv'),
  AttnDownBlock2D: plainDown(true, (config) => config.downsample_type),
  ResnetDownsampleBlock2D: plainDown(false, () => 'resnet'),
  SkipDownBlock2D: skipDown(false),
  AttnSkipDownBlock2D: skipDown(true),
}

export const upBlocks: Record<UpBlockType, (p: Params, place: UpPlace, common: Common) => Block> = {
  UpBlock2D: plainUp(false, () => 'conv'),
  AttnUpBlock2D: plainUp(true, (config) => config.upsample_type),
  ResnetUpsampleBlock2D: plainUp(false, () => 'resnet'),
  SkipUpBlock2D: skipUp(false),
  AttnSkipUpBlock2D: skipUp(true),
}

/** The middle: residual, attention, residual. */
export function midBlock(p: Params, channels: number, common: Common): TimedLayer {
  const { config } = common
  const groups = config.norm_num_groups ?? quarter(channels)
  const outputScale = config.mid_block_scale_factor
  const attnGroups = config.attn_norm_num_groups ?? (config.resnet_time_scale_shift === 'default' ? groups : undefined)
  const resnet = (i: number) =>
    resnetBlock(p.at('resnets', i), channels, channels, { ...resnetOptions(common), groups, outputScale })
  const [first, second] = [resnet(0), resnet(1)]
  const attend = config.add_attention ? attention(p, 0, channels, common, { groups: attnGroups, outputScale }) : (x: Tensor) => x
  return (x, time) => second(attend(first(x, time)), time)
}

function plainDown(attends: boolean, resampling: Resampling) {
  return (p: Params, { inputs, outputs, last }: DownPlace, common: Common): Block => {
    const { config } = common
    const options = { ...resnetOptions(common), groups: groupsOf(config) }
    const layers: TimedLayer[] = range(config.layers_per_block).map((i) => {
      const resnet = resnetBlock(p.at('resnets', i), i === 0 ? inputs : outputs, outputs, options)
      return attends ? then(resnet, attention(p, i, outputs, common, options)) : resnet
    })
    const half = p.at('downsamplers', 0)
    if (!last && resampling(config) === 'conv') layers.push(downConv(half, outputs, config.downsample_padding))
    else if (!last) layers.push(resnetBlock(half, outputs, outputs, { ...options, resample: (x) => avgPool(x, 2) }))
    return (flow, time) => descend(flow, layers, time)
  }
}

function plainUp(attends: boolean, resampling: Resampling) {
  return (p: Params, place: UpPlace, common: Common): Block => {
    const { config } = common
    const { outputs, last } = place
    const options = { ...resnetOptions(common), groups: groupsOf(config) }
    const layers = range(config.layers_per_block + 1).map((i) => {
      const [below, skip] = joined(i, place, config)
      const resnet = resnetBlock(p.at('resnets', i), below + skip, outputs, options)
      return attends ? then(resnet, attention(p, i, outputs, common, options)) : resnet
    })
    const double = p.at('upsamplers', 0)
    if (last) return (flow, time) => climb(flow, layers, time)
    const upsample: TimedLayer =
      resampling(config) === 'conv'
        ? untimed(upConv(double, outputs))
        : resnetBlock(double, outputs, outputs, { ...options, resample: (x) => x.upsample([2, 2]) })
    return (flow, time) => {
      const { x, ...rest } = climb(flow, layers, time)
      return { ...rest, x: upsample(x, time) }
    }
  }
}

function skipDown(attends: boolean) {
  return (p: Params, { inputs, outputs, last }: DownPlace, common: Common): Block => {
    const options = { ...resnetOptions(common), groupsOut: quarter(outputs), outputScale: Math.SQRT2 }
    const layers = range(common.config.layers_per_block).map((i) => {
      const from = i === 0 ? inputs : outputs
      const resnet = resnetBlock(p.at('resnets', i), from, outputs, { ...options, groups: quarter(from) })
      return attends ? then(resnet, attention(p, i, outputs, common, skipAttention)) : resnet
    })
    if (last) return (flow, time) => descend(flow, layers, time)
    const narrow = { ...options, groups: quarter(outputs), resample: firDownsample, convShortcut: true }
    const resnetDown = resnetBlock(p.at('resnet_down'), outputs, outputs, narrow)
    const skipConv = conv(p.at('skip_conv'), 3, outputs, 1)
    return (flow, time) => {
      const { x, skips, picture } = descend(flow, layers, time)
      const small = firDownsample(picture as Tensor)
      const y = skipConv(small).add(resnetDown(x, time))
      return { x: y, skips: [...skips, y], picture: small }
    }
  }
}

function skipUp(attends: boolean) {
  return (p: Params, place: UpPlace, common: Common): Block => {
    const { config } = common
    const { outputs, last } = place
    const options = { ...resnetOptions(common), groupsOut: quarter(outputs), outputScale: Math.SQRT2 }
    const layers = range(config.layers_per_block + 1).map((i) => {
      const [below, skip] = joined(i, place, config)
      // With attention only the skip's channels are quartered: so the published networks have it.
      const groups = attends ? Math.min(below + Math.floor(skip / 4), 32) : quarter(below + skip)
      return resnetBlock(p.at('resnets', i), below + skip, outputs, { ...options, groups })
    })
    const attend = attends ? attention(p, 0, outputs, common, skipAttention) : (x: Tensor) => x
    const grown = (picture: Tensor | undefined) => picture && firUpsample(picture)
    if (last) {
      return (flow, time) => {
        const { x, ...rest } = climb(flow, layers, time)
        return { ...rest, x: attend(x), picture: grown(flow.picture) }
      }
    }
    const wide = { ...options, groups: quarter(outputs), resample: firUpsample, convShortcut: true }
    const resnetUp = resnetBlock(p.at('resnet_up'), outputs, outputs, wide)
    const skipNorm = groupNorm(p.at('skip_norm'), quarter(outputs), outputs, config.norm_eps)
    const skipConv = conv(p.at('skip_conv'), outputs, 3, 3, { padding: 1 })
    return (flow, time) => {
      const { x, ...rest } = climb(flow, layers, time)
      const y = attend(x)
      const seen = skipConv(skipNorm(y).silu())
      const before = grown(flow.picture)
      return { ...rest, x: resnetUp(y, time), picture: before ? before.add(seen) : seen }
    }
  }
}

/** Each layer leaves a skip. */
function descend({ x, skips, picture }: Flow, layers: readonly TimedLayer[], time: Tensor): Flow {
  const made = layers.map((layer) => {
    x = layer(x, time)
    return x
  })
  return { x, skips: [...skips, ...made], picture }
}

/** Each layer takes one skip beside the features, the last made first. */
function climb({ x, skips, picture }: Flow, layers: readonly TimedLayer[], time: Tensor): Flow {
  const y = layers.reduce((below, layer, i) => layer(concat([below, skips.at(-1 - i) as Tensor], 1), time), x)
  return { x: y, skips: skips.slice(0, -layers.length), picture }
}

/** Channels that the i-th residual block of an up block takes from below, and from the skip. */
const joined = (i: number, { inputs, outputs, above }: UpPlace, { layers_per_block: last }: UNet2DConfig): [number, number] => [
  i === 0 ? inputs : outputs,
  i === last ? above : outputs,
]

const resnetOptions = ({ config, timeWidth, dropout = keepAll }: Common): Omit<ResnetOptions, 'groups'> => ({
  eps: config.norm_eps,
  activation: config.act_fn,
  timeWidth,
  timeForm: config.resnet_time_scale_shift,
  dropout: { rate: config.dropout, apply: dropout },
})

function attention(
  p: Params,
  i: number,
  channels: number,
  { config }: Common,
  options: Omit<SpatialAttentionOptions, 'headDim' | 'eps'>,
): Layer {
  const { groups, outputScale } = options
  const headDim = config.attention_head_dim ?? channels
  return spatialAttention(p.at('attentions', i), channels, { headDim, eps: config.norm_eps, groups, outputScale })
}

/** NCSN++ has 32 groups here whatever the config says. */
const skipAttention = { groups: 32, outputScale: Math.SQRT2 }

const quarter = (channels: number) => Math.min(Math.floor(channels / 4), 32)

/** The schema checks that a network with plain blocks has a number of groups. */
const groupsOf = (config: UNet2DConfig) => config.norm_num_groups as number

const then =
  (layer: TimedLayer, next: Layer): TimedLayer =>
  (x, time) =>
    next(layer(x, time))

/** A layer that ignores the time. */
const untimed =
  (layer: Layer): TimedLayer =>
  (x) =>
    layer(x)
