import { concat } from '../core/functions.ts'
import * as core from '../core/index.ts'
import { dims, range, sizeOf } from '../core/shape.ts'
import type { Tensor } from '../core/tensor.ts'
import type { Layer } from './layers.ts'
import { fanIn, type Params } from './params.ts'

/** What layers keep of a film from one part of it to the next, each under its path: the frames that the next part's first ones still see. */
export class FilmMemory {
  /** Whether no part came before. */
  readonly first: boolean
  readonly kept = new Map<string, Tensor>()
  private readonly before: ReadonlyMap<string, Tensor>

  constructor(before?: ReadonlyMap<string, Tensor>) {
    this.first = before === undefined
    this.before = before ?? new Map()
  }

  recall(path: string): Tensor | undefined {
    return this.before.get(path)
  }

  keep(path: string, frames: Tensor): void {
    this.kept.set(path, frames)
  }
}

/** A layer on a part of a film: x [B, C, T, H, W]. */
export type FilmLayer = (x: Tensor, memory: FilmMemory) => Tensor

export interface CausalConvOptions {
  /** Time, height, width: one number for all three. */
  readonly kernel: number | readonly [time: number, height: number, width: number]
  /** What stands before a film's first frame: zeros, or that frame again. */
  readonly before: 'zeros' | 'first frame'
}

/**
 * A convolution over time and space that sees no later frame (Yu et al. 2024, section 3.1): x [B, inputs, T, H, W] → [B, outputs, T, H, W].
 * In parts, one after another, a film gives what it gives as a whole.
 */
export function causalConv(p: Params, inputs: number, outputs: number, { kernel, before }: CausalConvOptions): FilmLayer {
  const window = typeof kernel === 'number' ? ([kernel, kernel, kernel] as const) : kernel
  const init = fanIn(inputs * sizeOf(window))
  const weight = p.get('weight', [outputs, inputs, ...window], init)
  const bias = p.get('bias', [outputs], init)
  const [time, height, width] = window
  const convolve: Layer = (x) => core.conv(x, weight, { bias, padding: [0, (height - 1) / 2, (width - 1) / 2] })
  if (time === 1) return convolve
  return (x, memory) => {
    const start = memory.recall(p.path)
    const frame = x.slice(2, 0, 1)
    const padded = start
      ? concat([start, x], 2)
      : before === 'zeros'
        ? x.padAxis(2, time - 1, 0)
        : concat([...range(time - 1).map(() => frame), x], 2)
    memory.keep(p.path, padded.slice(2, (padded.shape[2] as number) - (time - 1)))
    return convolve(padded)
  }
}

/** Layers on a part of a film one after another. */
export const filmSequence =
  (...layers: FilmLayer[]): FilmLayer =>
  (x, memory) =>
    layers.reduce((y, layer) => layer(y, memory), x)

/** A layer of pictures on each frame: [B, C, T, H, W] → [B, C', T, H', W']. */
export function onFrames(layer: Layer, x: Tensor): Tensor {
  const { B, C, T, H, W } = dims(x, 'B C T H W')
  const y = layer(x.transpose(0, 2, 1, 3, 4).reshape([B * T, C, H, W]))
  return y.reshape([B, T, ...y.shape.slice(1)]).transpose(0, 2, 1, 3, 4)
}

/** A film as a whole, in parts of so many frames one after another: [B, C, T, H, W], of which frames beyond the last part are left. */
export function inFilmParts(run: FilmLayer, x: Tensor, lengths: readonly number[]): Tensor {
  let before: ReadonlyMap<string, Tensor> | undefined
  let at = 0
  const made = lengths.map((length) => {
    const memory = new FilmMemory(before)
    const y = run(x.slice(2, at, at + length), memory)
    before = memory.kept
    at += length
    return y
  })
  return concat(made, 2)
}
