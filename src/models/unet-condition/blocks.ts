import { avgPool, concat } from '../../core/functions.ts'
import { range, type Shape } from '../../core/shape.ts'
import { constant, type Tensor } from '../../core/tensor.ts'
import { type FreeU, lowPass } from '../../diffusion/freeu.ts'
import { keepAll } from '../../nn/dropout.ts'
import type { Params } from '../../nn/params.ts'
import { downConv, upConv } from '../../nn/resample.ts'
import { type ResnetOptions, resnetBlock } from '../../nn/resnet.ts'
import { contextAttention, spatialAttention } from '../../nn/spatial-attention.ts'
import { spatialTransformer } from '../../nn/transformer.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { Common, Conditioned, DownBlock, Place, UpBlock } from './block-types.ts'
import {
  type BlockKind,
  conditionDownBlocks,
  conditionUpBlocks,
  type Level,
  type Mixing,
  type UNet2DConditionConfig,
} from './config.ts'
import type { Given } from './embeddings.ts'
import { kDownBlock, kUpBlock } from './k-blocks.ts'

export function downBlock(p: Params, name: string, place: Place, common: Common): DownBlock {
  const { mixes, resamples } = conditionDownBlocks[name] as BlockKind
  if (resamples === 'filter') return kDownBlock(p, mixes === 'cross', place, common)
  const { inputs, level, last } = place
  const { channels } = level
  const layers = range(level.layers).map((i) =>
    then(resnet(p.at('resnets', i), i === 0 ? inputs : channels, channels, common, resamples), mixer(p, i, mixes, level, common)),
  )
  const half = last ? undefined : resampler(p.at('downsamplers', 0), channels, common, resamples)
  return (x, given, inside) => {
    const skips: Tensor[] = []
    for (const [i, layer] of layers.entries()) {
      x = layer(x, given)
      // Blocks with a transformer take the adapter's features before they halve the resolution, the others after.
      if (inside && mixes === 'cross' && i === layers.length - 1) x = x.add(inside)
      skips.push(x)
    }
    if (half) skips.push(half(x, given))
    if (inside && mixes !== 'cross') skips.push((skips.pop() as Tensor).add(inside))
    return { x: skips.at(-1) as Tensor, skips }
  }
}

/**
 * @param place.above channels of the skip that comes last, from the block above
 * @param place.skipped whether the way down left skips for it
 */
export function upBlock(
  p: Params,
  name: string,
  place: Place & { readonly above: number; readonly index: number; readonly skipped: boolean },
  common: Common,
): UpBlock {
  const { mixes, resamples } = conditionUpBlocks[name] as BlockKind
  if (resamples === 'filter') return kUpBlock(p, mixes === 'cross', place, common, place.skipped)
  const { inputs, level, last, above, index } = place
  const { channels, layers: count } = level
  const layers = range(count + 1).map((i) => {
    const joined = (i === 0 ? inputs : channels) + (i === count ? above : channels)
    return then(resnet(p.at('resnets', i), joined, channels, common, resamples), mixer(p, i, mixes, level, common))
  })
  const double = last ? undefined : grower(p.at('upsamplers', 0), channels, common, resamples)
  return {
    takes: layers.length,
    apply: (x, skips, given, size) => {
      // As in diffusers, FreeU is for the blocks of the first latent models alone.
      const free = resamples === 'conv' && (mixes === 'cross' || mixes === 'none') ? given.freeU?.[index] : undefined
      const y = layers.reduce((below, layer, i) => layer(joinedWith(below, skips.at(-1 - i) as Tensor, free), given), x)
      return double ? double(y, given, size) : y
    },
  }
}

/** A block's features with a skip behind them; with FreeU both changed (Si et al. 2024, eqs. 4 to 6). */
function joinedWith(x: Tensor, skip: Tensor, free: FreeU | undefined): Tensor {
  if (!free) return concat([x, skip], 1)
  const channels = x.shape[1] as number
  const raised = range(channels).map((c) => (c < Math.floor(channels / 2) ? free.backbone : 1))
  const [rows, columns] = [skip.shape[2], skip.shape[3]].map((n) => lowPass(n as number)) as [LowPass, LowPass]
  const table = ({ data, shape }: NdArray) => constant(data, shape)
  const along = (m: NdArray, n: NdArray) => table(m).matmul(skip).matmul(table(n.transpose()))
  const low = along(rows.real, columns.real).sub(along(rows.imaginary, columns.imaginary))
  return concat([x.mul(constant(raised, [1, channels, 1, 1])), skip.add(low.mul(free.skip - 1))], 1)
}
type LowPass = ReturnType<typeof lowPass>

/** The middle: residual, attention, residual; or one residual alone. */
export function midBlock(p: Params, level: Level, common: Common): Conditioned | undefined {
  const { config } = common
  const { channels } = level
  const type = config.mid_block_type
  if (type === null) return undefined
  const simple = type === 'UNetMidBlock2DSimpleCrossAttn'
  const block = (i: number) =>
    timed(p.at('resnets', i), channels, channels, common, {
      outputScale: config.mid_block_scale_factor,
      raw: simple && config.resnet_skip_time_act,
    })
  if (type === 'UNetMidBlock2D') return block(0)
  const onlyCross = simple && (config.mid_block_only_cross_attention ?? config.only_cross_attention === true)
  const mix = mixer(p, 0, simple ? 'simple-cross' : 'cross', { ...level, onlyCross }, common)
  return then(then(block(0), mix), block(1))
}

/** What stands after a block's residual number i. */
function mixer(p: Params, i: number, mixes: Mixing, level: Level, { config }: Common): Conditioned {
  const at = p.at('attentions', i)
  const { channels, contextWidth, heads, headDim, depth, onlyCross } = level
  const groups = groupsOf(config)
  switch (mixes) {
    case 'none':
      return (x) => x
    case 'self':
      return spatialAttention(at, channels, { headDim, groups, eps: config.norm_eps })
    case 'cross': {
      const linearProjection = config.use_linear_projection
      const blocks = typeof depth === 'number' ? depth : (depth[i] as number)
      return spatialTransformer(at, channels, { contextWidth, heads, depth: blocks, groups, onlyCross, linearProjection })
    }
    case 'simple-cross': {
      const contextNorm = config.cross_attention_norm
      const attend = contextAttention(at, channels, { headDim, groups, contextWidth, contextNorm, onlyCross })
      return (x, { context, mask }) => attend(x, context, mask)
    }
  }
}

/** A residual block; those of blocks that resample by residuals have their own scale, and may take the time as it is. */
function resnet(p: Params, inputs: number, outputs: number, common: Common, resamples: 'conv' | 'resnet', resample?: Resample) {
  const own = resamples === 'resnet'
  return timed(p, inputs, outputs, common, {
    raw: own && common.config.resnet_skip_time_act,
    ...(own ? { outputScale: common.config.resnet_out_scale_factor } : {}),
    ...(resample ? { resample } : {}),
  })
}

/** Blocks that have such groups are only in networks that say how many. */
const groupsOf = ({ norm_num_groups: groups }: UNet2DConditionConfig): number => groups as number

type Resample = (x: Tensor) => Tensor
type Own = Pick<ResnetOptions, 'outputScale' | 'resample'> & { readonly raw: boolean }

function timed(
  p: Params,
  inputs: number,
  outputs: number,
  { config, timeWidth, dropout = keepAll }: Common,
  own: Own,
): Conditioned {
  const { raw, ...options } = own
  const block = resnetBlock(p, inputs, outputs, {
    groups: groupsOf(config),
    eps: config.norm_eps,
    activation: config.act_fn,
    timeWidth,
    timeForm: config.resnet_time_scale_shift,
    dropout: { rate: config.dropout, apply: dropout },
    ...options,
  })
  return (x, given) => block(x, raw ? given.rawTime : given.time)
}

function resampler(p: Params, channels: number, common: Common, resamples: 'conv' | 'resnet'): Conditioned {
  if (resamples === 'resnet') return resnet(p, channels, channels, common, resamples, (x) => avgPool(x, 2))
  return downConv(p, channels, common.config.downsample_padding)
}

function grower(p: Params, channels: number, common: Common, resamples: 'conv' | 'resnet') {
  if (resamples === 'resnet') return resnet(p, channels, channels, common, resamples, (x) => x.upsample([2, 2]))
  const grow = upConv(p, channels)
  return (x: Tensor, _: Given, size: Shape | undefined) => grow(x, size)
}

const then =
  (layer: Conditioned, next: Conditioned): Conditioned =>
  (x, given) =>
    next(layer(x, given), given)
