import { ArgumentError, ShapeError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'

/** A resampling kernel, by the names of Pillow. `box` averages areas. */
export type Kernel = 'box' | 'bilinear' | 'bicubic' | 'lanczos'

const sinc = (x: number) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x))

/** Each kernel with its radius, in pixels of the coarser of the two grids. */
export const kernels: Record<Kernel, { radius: number; at: (x: number) => number }> = {
  box: { radius: 0.5, at: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { radius: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  /** Keys 1981, a = −1/2. */
  bicubic: {
    radius: 2,
    at: (x) => {
      const d = Math.abs(x)
      return d < 1 ? (1.5 * d - 2.5) * d * d + 1 : d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0
    },
  },
  /** Duchon 1979, three lobes. */
  lanczos: { radius: 3, at: (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0) },
}

/** For each output sample: its first source sample, how many it takes, and their weights (`width` a row). */
export interface Taps {
  readonly width: number
  readonly first: Int32Array
  readonly count: Int32Array
  readonly weights: Float32Array
}

/** Where output samples lie: sample i is centred at (i + 0.5 − shift) · step in the source. */
export interface TapsOptions {
  readonly step: number
  readonly shift?: number
  /** Beyond the source: its samples alone share the weight (`crop`, as Pillow), or there is 0 (`zero`). */
  readonly edge?: 'crop' | 'zero'
}

/** Weights of a one-dimensional resampling from `source` to `count` samples. The kernel widens when it shrinks. */
export function taps(source: number, count: number, kernel: Kernel, { step, shift = 0, edge = 'crop' }: TapsOptions): Taps {
  const { radius, at } = kernels[kernel]
  const stretch = Math.max(1, step)
  const reach = radius * stretch
  const width = Math.ceil(reach) * 2 + 1
  const out = {
    width,
    first: new Int32Array(count),
    count: new Int32Array(count),
    weights: new Float32Array(count * width),
  }
  const row = new Float64Array(width)
  for (let i = 0; i < count; i++) {
    const centre = (i + 0.5 - shift) * step
    const low = Math.floor(centre - reach + 0.5)
    const high = Math.min(Math.floor(centre + reach + 0.5), low + width)
    let sum = 0
    for (let s = low; s < high; s++) {
      const inside = s >= 0 && s < source
      const weight = inside || edge === 'zero' ? at((s + 0.5 - centre) / stretch) : 0
      row[s - low] = weight
      sum += weight
    }
    const first = Math.min(Math.max(low, 0), source)
    const last = Math.max(first, Math.min(high, source))
    out.first[i] = first
    out.count[i] = last - first
    for (let s = first; s < last; s++) out.weights[i * width + s - first] = (row[s - low] as number) / sum
  }
  return out
}

export interface ResizeOptions {
  readonly width: number
  readonly height: number
  readonly kernel?: Kernel
  /** Lanczos and bicubic overshoot at edges; with a range the values are held in it after each of the two passes. */
  readonly range?: readonly [low: number, high: number]
}

/**
 * Resamples the last two axes: [..., H, W] → [..., height, width], across and then down.
 * For a picture in [−1, 1] with `range: [-1, 1]` it is within one level of 255 of Pillow's `resize`.
 */
export function resize(image: NdArray<'f32'>, options: ResizeOptions): NdArray<'f32'> {
  const { width, height, kernel = 'lanczos', range: [low, high] = [-Infinity, Infinity] } = options
  const [H, W] = image.shape.slice(-2)
  if (!H || !W) throw new ShapeError(`resize: expected [..., H, W], got [${image.shape.join(', ')}]`)
  for (const side of [width, height])
    if (!Number.isInteger(side) || side < 1) throw new ArgumentError(`resize: expected whole pixels, got ${width} × ${height}`)
  const planes = image.size / (H * W)
  const across = taps(W, width, kernel, { step: W / width })
  const down = taps(H, height, kernel, { step: H / height })
  const rows = new Float32Array(H * width)
  const out = new Float32Array(planes * height * width)
  for (let p = 0; p < planes; p++) {
    const from = image.data.subarray(p * H * W, (p + 1) * H * W)
    for (let y = 0; y < H; y++)
      for (let x = 0; x < width; x++) {
        const first = y * W + (across.first[x] as number)
        let sum = 0
        for (let k = 0; k < (across.count[x] as number); k++)
          sum += (from[first + k] as number) * (across.weights[x * across.width + k] as number)
        rows[y * width + x] = Math.min(high, Math.max(low, sum))
      }
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const first = down.first[y] as number
        let sum = 0
        for (let k = 0; k < (down.count[y] as number); k++)
          sum += (rows[(first + k) * width + x] as number) * (down.weights[y * down.width + k] as number)
        out[(p * height + y) * width + x] = Math.min(high, Math.max(low, sum))
      }
  }
  return new NdArray(out, [...image.shape.slice(0, -2), height, width], 'f32')
}
