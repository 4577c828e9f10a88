import { ArgumentError } from '../../core/errors.ts'
import { attention, concat, conv as convolve, convTranspose, groupNorm } from '../../core/functions.ts'
import { dims, range } from '../../core/shape.ts'
import { constant, ones, type Tensor, zeros } from '../../core/tensor.ts'
import { activations } from '../../nn/activation.ts'
import { keepAll } from '../../nn/dropout.ts'
import { conv, type Layer, layerNorm, linear } from '../../nn/layers.ts'
import type { Params } from '../../nn/params.ts'
import { toPixels, toTokens } from '../../nn/transformer.ts'
import type { Common, Conditioned, DownBlock, Place, UpBlock } from './block-types.ts'
import type { Level } from './config.ts'

// The blocks of k-diffusion's U-Net (Crowson 2022, `image_v1`) as diffusers has them for Stability's latent upscaler.

/** Channels of a group. */
const GROUP = 32

interface Widths {
  readonly inputs: number
  /** Between the convolutions. */
  readonly inner: number
  readonly outputs: number
}

/** The scale and shift of a time after a group norm without weights: x [B, C, H, W], time [B, timeWidth]. */
function adaptiveNorm(p: Params, channels: number, groups: number, timeWidth: number, eps: number) {
  if (groups < 1) throw new ArgumentError(`${p.path}: ${channels} channels are less than a group's ${GROUP}`)
  const project = linear(p.at('linear'), timeWidth, 2 * channels)
  const [weight, bias] = [ones([channels], 'f32'), zeros([channels], 'f32')]
  return (x: Tensor, time: Tensor): Tensor => {
    const [scale, shift] = project(time).unsqueeze(2).unsqueeze(3).split(2, 1) as [Tensor, Tensor]
    return groupNorm(x, groups, weight, bias, eps).mul(scale.add(1)).add(shift)
  }
}

/** Adaptive norm, activation, convolution, twice, and the residual. */
function resnet(p: Params, { inputs, inner, outputs }: Widths, groupsOut: number, common: Common): Conditioned {
  const { config, timeWidth, dropout = keepAll } = common
  const act = activations[config.act_fn]
  const norm1 = adaptiveNorm(p.at('norm1'), inputs, Math.floor(inputs / GROUP), timeWidth, config.norm_eps)
  const conv1 = conv(p.at('conv1'), inputs, inner, 3, { padding: 1 })
  const norm2 = adaptiveNorm(p.at('norm2'), inner, groupsOut, timeWidth, config.norm_eps)
  const conv2 = conv(p.at('conv2'), inner, outputs, 3, { padding: 1 })
  const shortcut: Layer = inputs === outputs ? (x) => x : conv(p.at('conv_shortcut'), inputs, outputs, 1, { bias: false })
  return (x, { rawTime }) => {
    const h = conv1(act(norm1(x, rawTime)))
    return shortcut(x).add(conv2(dropout(act(norm2(h, rawTime)), config.dropout)))
  }
}

/** Attention of the pixels to themselves, where the block is the deepest, and to the context; each after an adaptive norm. */
function mixer(p: Params, channels: number, { headDim, contextWidth }: Level, own: boolean, timeWidth: number): Conditioned {
  const heads = Math.floor(channels / headDim)
  const width = heads * headDim
  const attend = (name: string, from: number) => {
    const at = p.at(name)
    const [toQ, toK, toV, toOut] = [
      linear(at.at('to_q'), channels, width),
      linear(at.at('to_k'), from, width),
      linear(at.at('to_v'), from, width),
      linear(at.at('to_out', 0), width, channels),
    ]
    return (x: Tensor, seen: Tensor, mask?: Tensor) =>
      toOut(attention(toQ(x), toK(seen), toV(seen), mask ? { heads, mask } : { heads }))
  }
  const normed = (name: string) => adaptiveNorm(p.at(name), channels, Math.max(1, Math.floor(channels / GROUP)), timeWidth, 1e-5)
  const self = own ? { norm: normed('norm1'), attend: attend('attn1', channels) } : undefined
  const norm = normed('norm2')
  const normContext = layerNorm(p.at('attn2', 'norm_cross'), contextWidth)
  const cross = attend('attn2', contextWidth)
  return (x, { rawTime, context, mask }) => {
    const { H, W } = dims(x, 'B C H W')
    if (self) {
      const tokens = toTokens(self.norm(x, rawTime))
      x = toPixels(self.attend(tokens, tokens), H, W).add(x)
    }
    return toPixels(cross(toTokens(norm(x, rawTime)), normContext(context), mask), H, W).add(x)
  }
}

/** Reflected by a pixel at each edge. */
function reflected(x: Tensor): Tensor {
  return [2, 3].reduce((y, axis) => {
    const n = y.shape[axis] as number
    if (n < 2) throw new ArgumentError('a picture of one pixel a side cannot be resampled here')
    return concat([y.slice(axis, 1, 2), y, y.slice(axis, n - 2, n - 1)], axis)
  }, x)
}

/** [C, 1, 4, 4], whose elements add up to `gain`. */
function window(channels: number, gain: number): Tensor {
  const taps = [1, 3, 3, 1]
  const one = taps.flatMap((a) => taps.map((b) => (a * b * gain) / 64))
  return constant(
    Float32Array.from({ length: channels * 16 }, (_, i) => one[i % 16] as number),
    [channels, 1, 4, 4],
  )
}
const halved: Layer = (x) => {
  const groups = x.shape[1] as number
  return convolve(reflected(x), window(groups, 1), { stride: 2, groups })
}
const doubled: Layer = (x) => {
  const groups = x.shape[1] as number
  return convTranspose(reflected(x), window(groups, 4), { stride: 2, padding: 3, groups })
}

/** A way-down block; the one that keeps the resolution and attends leaves no skips, and its pixels see each other. */
export function kDownBlock(p: Params, mixes: boolean, { inputs, level, last }: Place, common: Common): DownBlock {
  const { channels } = level
  const layers = range(level.layers).map((i) => {
    const widths = { inputs: i === 0 ? inputs : channels, inner: channels, outputs: channels }
    const block = resnet(p.at('resnets', i), widths, Math.floor(channels / GROUP), common)
    return { block, mix: mixes ? mixer(p.at('attentions', i), channels, level, last, common.timeWidth) : undefined }
  })
  return (x, given) => {
    const skips: Tensor[] = []
    for (const { block, mix } of layers) {
      x = block(x, given)
      if (mix) x = mix(x, given)
      skips.push(x)
    }
    return { x: last ? x : halved(x), skips: mixes && last ? [] : skips }
  }
}

/** @param skipped whether the way down left skips for it; of those it takes, it sees the last */
export function kUpBlock(
  p: Params,
  mixes: boolean,
  { above, level, last }: Place & { readonly above: number },
  common: Common,
  skipped: boolean,
): UpBlock {
  const { timeWidth } = common
  const { channels, layers: count } = level
  // As diffusers tells the deepest block: by its widths.
  const deepest = mixes && above === channels && channels === timeWidth
  const joined = deepest ? channels : 2 * channels
  const layers = range(count).map((i) => {
    const end = i === count - 1
    const outputs = end ? above : channels
    const widths = { inputs: i === 0 ? joined : channels, inner: mixes ? channels : outputs, outputs }
    const block = resnet(p.at('resnets', i), widths, Math.floor(channels / GROUP), common)
    return { block, mix: mixes ? mixer(p.at('attentions', i), outputs, level, deepest, timeWidth) : undefined }
  })
  return {
    takes: skipped ? count : 0,
    apply(x, skips, given) {
      const skip = skips.at(-1)
      const start = skip ? concat([x, skip], 1) : x
      const y = layers.reduce((z, { block, mix }) => (mix ? mix(block(z, given), given) : block(z, given)), start)
      return last ? y : doubled(y)
    },
  }
}
