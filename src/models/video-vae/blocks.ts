import { concat } from '../../core/functions.ts'
import { dims, range } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { type FilmLayer, filmSequence, onFrames } from '../../nn/causal.ts'
import { conv, type Layer } from '../../nn/layers.ts'
import { onesInit, type Params } from '../../nn/params.ts'

// Layers on a part of a film or on all of it. A convolution over space and time is one of a frame's pixels and then one of a pixel's frames
// (Tran et al. 2018): fewer products, and each of them a kind that the processor is fast at.

/** Frames that a convolution over time sees: its own and those before it. */
const SEEN = 3

/** Each pixel's channels to root mean square 1, times a weight. */
function pixelNorm(p: Params, channels: number): Layer {
  const weight = p.get('weight', [channels, 1, 1, 1], onesInit)
  return (x) => x.div(x.square().mean(1, true).add(1e-6).sqrt()).mul(weight)
}

/** Frames side by side as channels, `SEEN` one after another for each, every `step`-th: [B, C, T, H, W] → [B, SEEN · C, T', H, W]. */
function windows(frames: Tensor, step: number): Tensor {
  const count = Math.floor(((frames.shape[2] as number) - SEEN) / step) + 1
  return concat(
    range(SEEN).map((k) => frames.slice(2, k, k + (count - 1) * step + 1, step)),
    1,
  )
}

/** Over a pixel's frames, none of them later; zeros stand before a film. */
function overTime(p: Params, inputs: number, outputs: number): FilmLayer {
  const mix = conv(p, SEEN * inputs, outputs, 1)
  return (x, memory) => {
    const before = memory.recall(p.path)
    const padded = before ? concat([before, x], 2) : x.padAxis(2, SEEN - 1, 0)
    memory.keep(p.path, padded.slice(2, (padded.shape[2] as number) - SEEN + 1))
    return onFrames(mix, windows(padded, 1))
  }
}

/** Over space, and then over time. */
export function filmConv(p: Params, inputs: number, outputs: number): FilmLayer {
  const space = conv(p.at('space'), inputs, outputs, 3, { padding: 1 })
  const time = overTime(p.at('time'), outputs, outputs)
  return (x, memory) => time(onFrames(space, x), memory)
}

export const normed = (p: Params, channels: number): FilmLayer => {
  const norm = pixelNorm(p, channels)
  return (x) => norm(x).silu()
}

export function residual(p: Params, width: number): FilmLayer {
  const run = filmSequence(
    normed(p.at('norm1'), width),
    filmConv(p.at('conv1'), width, width),
    normed(p.at('norm2'), width),
    filmConv(p.at('conv2'), width, width),
  )
  return (x, memory) => run(x, memory).add(x)
}

/** Half as many pixels a side; where `time`, of every two frames one, but for a film's first frame, which stands alone. */
export function downsampler(p: Params, from: number, to: number, time: boolean): FilmLayer {
  const convolve = conv(p.at('space'), from, to, 3, { stride: 2 })
  const at = p.at('time')
  const halve = time ? conv(at, SEEN * to, to, 1) : undefined
  return (x, memory) => {
    const y = onFrames((frame) => convolve(frame.pad([0, 0, 0, 0], [0, 0, 1, 1])), x)
    if (!halve) return y
    const T = y.shape[2] as number
    const before = memory.recall(at.path)
    memory.keep(at.path, y.slice(2, T - 1))
    const halved = (frames: Tensor) => onFrames(halve, windows(frames, 2))
    if (before) return halved(concat([before, y], 2))
    return T === 1 ? y : concat([y.slice(2, 0, 1), halved(y)], 2)
  }
}

/** Twice as many pixels a side; where `time`, two frames of each, but for a film's first. */
export function upsampler(p: Params, from: number, to: number, time: boolean): FilmLayer {
  const convolve = conv(p.at('space'), from, to, 3, { padding: 1 })
  const double = time ? overTime(p.at('time'), from, 2 * from) : undefined
  return (x, memory) => {
    const { B, C, T, H, W } = dims(x, 'B C T H W')
    const alone = memory.first ? 1 : 0
    const doubled = (frames: Tensor): Tensor => {
      const count = frames.shape[2] as number
      const both = (double as FilmLayer)(frames, memory).reshape([B, 2, C, count, H, W])
      return both.transpose(0, 2, 3, 1, 4, 5).reshape([B, C, 2 * count, H, W])
    }
    const rest = double && T > alone ? doubled(x.slice(2, alone)) : undefined
    const y = !rest ? x : alone ? concat([x.slice(2, 0, 1), rest], 2) : rest
    return onFrames((frame) => convolve(frame.upsample([2, 2])), y)
  }
}
