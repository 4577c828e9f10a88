import { attention, concat, stack } from '../../core/functions.ts'
import * as core from '../../core/index.ts'
import { dims, range } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { causalConv, type FilmLayer, filmSequence, onFrames } from '../../nn/causal.ts'
import { conv, type Layer } from '../../nn/layers.ts'
import { fanIn, onesInit, type Params } from '../../nn/params.ts'
import { toPixels, toTokens } from '../../nn/transformer.ts'

// Layers of Wan's autoencoder on parts of a film, the first of which is one frame.

/** A causal convolution with zeros before the first frame. */
export const causal = (
  p: Params,
  inputs: number,
  outputs: number,
  kernel: number | readonly [number, number, number] = 3,
): FilmLayer => causalConv(p, inputs, outputs, { kernel, before: 'zeros' })

/** Pixels to length √channels, times a weight: x [B, C, …] of `axes` axes behind. */
function rmsNorm(p: Params, channels: number, axes: 2 | 3): Layer {
  const weight = p.get('gamma', [channels, ...range(axes).map(() => 1)], onesInit)
  return (x) => x.div(x.square().sum(1, true).sqrt().maximum(1e-12)).mul(Math.sqrt(channels)).mul(weight)
}

export const normed = (p: Params, channels: number): FilmLayer => {
  const norm = rmsNorm(p, channels, 3)
  return (x) => norm(x).silu()
}

export function residual(p: Params, from: number, to: number): FilmLayer {
  const run = filmSequence(
    normed(p.at('norm1'), from),
    causal(p.at('conv1'), from, to),
    normed(p.at('norm2'), to),
    causal(p.at('conv2'), to, to),
  )
  const shortcut: FilmLayer = from === to ? (x) => x : causal(p.at('conv_shortcut'), from, to, 1)
  return (x, memory) => run(x, memory).add(shortcut(x, memory))
}

/** A frame's pixels among themselves, in one head. */
export function pixelAttention(p: Params, channels: number): FilmLayer {
  const norm = rmsNorm(p.at('norm'), channels, 2)
  const toQkv = conv(p.at('to_qkv'), channels, 3 * channels, 1)
  const project = conv(p.at('proj'), channels, channels, 1)
  const attend: Layer = (x) => {
    const { H, W } = dims(x, 'B C H W')
    const [q, k, v] = toTokens(toQkv(norm(x))).split(3, 2) as [Tensor, Tensor, Tensor]
    return project(toPixels(attention(q, k, v, { heads: 1 }), H, W))
  }
  return (x) => x.add(onFrames(attend, x))
}

/** Half as many pixels a side; where `time`, of every two frames one, but for a film's first part. */
export function downsampler(p: Params, width: number, time: boolean): FilmLayer {
  const convolve = conv(p.at('resample', 1), width, width, 3, { stride: 2 })
  const at = p.at('time_conv')
  const init = fanIn(3 * width)
  const weight = time ? at.get('weight', [width, width, 3, 1, 1], init) : undefined
  const bias = time ? at.get('bias', [width], init) : undefined
  return (x, memory) => {
    const y = onFrames((frame) => convolve(frame.pad([0, 0, 0, 0], [0, 0, 1, 1])), x)
    if (!weight || !bias) return y
    const before = memory.recall(at.path)
    memory.keep(at.path, y.slice(2, (y.shape[2] as number) - 1))
    return before ? core.conv(concat([before, y], 2), weight, { bias, stride: [2, 1, 1] }) : y
  }
}

/** Twice as many pixels a side; where `time`, two frames of each, but for a film's first part. */
export function upsampler(p: Params, width: number, outputs: number, time: boolean): FilmLayer {
  const convolve = conv(p.at('resample', 1), width, outputs, 3, { padding: 1 })
  const double = time ? causal(p.at('time_conv'), width, 2 * width, [3, 1, 1]) : undefined
  return (x, memory) => {
    const { B, C, T, H, W } = dims(x, 'B C T H W')
    let y = x
    if (double && !memory.first) {
      const [even, odd] = double(x, memory).split(2, 1) as [Tensor, Tensor]
      y = stack([even, odd], 3).reshape([B, C, 2 * T, H, W])
    }
    return onFrames((frame) => convolve(frame.upsample([2, 2])), y)
  }
}
