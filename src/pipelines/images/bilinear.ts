import { NdArray } from '../../runtime/ndarray.ts'
import type { Size } from './fit.ts'

/** Two samples and how far the way from the first to the second goes. */
interface Between {
  readonly first: number
  readonly second: number
  readonly share: number
}

/** PyTorch's bilinear interpolation (corners not aligned, no smoothing where it shrinks): [N, C, H, W] → [N, C, height, width]. */
export const bilinear = (images: NdArray<'f32'>, size: Size): NdArray<'f32'> => interpolated(images, size, betweens)

/** The same with corners aligned: the outermost samples of both grids lie on each other. */
export const alignedBilinear = (images: NdArray<'f32'>, size: Size): NdArray<'f32'> => interpolated(images, size, alignedBetweens)

function interpolated(images: NdArray<'f32'>, { height, width }: Size, between: typeof betweens): NdArray<'f32'> {
  const [N, C, H, W] = images.shape as [number, number, number, number]
  const [rows, columns] = [between(H, height), between(W, width)]
  const out = new Float32Array(N * C * height * width)
  for (let plane = 0; plane < N * C; plane++) {
    const from = images.data.subarray(plane * H * W, (plane + 1) * H * W)
    for (const [y, down] of rows.entries()) {
      const row = (at: number, { first, second, share }: Between) =>
        (from[at * W + first] as number) * (1 - share) + (from[at * W + second] as number) * share
      for (const [x, across] of columns.entries())
        out[(plane * height + y) * width + x] = row(down.first, across) * (1 - down.share) + row(down.second, across) * down.share
    }
  }
  return new NdArray(out, [N, C, height, width], 'f32')
}

function betweens(source: number, count: number): Between[] {
  return Array.from({ length: count }, (_, i) => {
    const place = Math.max(0, (i + 0.5) * (source / count) - 0.5)
    const first = Math.min(Math.floor(place), source - 1)
    return { first, second: Math.min(first + 1, source - 1), share: place - first }
  })
}

function alignedBetweens(source: number, count: number): Between[] {
  const step = count > 1 ? (source - 1) / (count - 1) : 0
  return Array.from({ length: count }, (_, i) => {
    const first = Math.min(Math.floor(i * step), source - 1)
    return { first, second: Math.min(first + 1, source - 1), share: i * step - first }
  })
}

/** Enlarged or shrunk until it covers the size, and its middle cut out: [N, C, H, W] → [N, C, height, width]. */
export function covering(images: NdArray<'f32'>, { height, width }: Size): NdArray<'f32'> {
  const [, , H, W] = images.shape as [number, number, number, number]
  if (H === height && W === width) return images
  const ratio = Math.max(height / H, width / W)
  // A product that falls short of a whole number by rounding is that number.
  const size = { height: Math.max(height, Math.trunc(H * ratio)), width: Math.max(width, Math.trunc(W * ratio)) }
  const [top, left] = [Math.floor((size.height - height) / 2), Math.floor((size.width - width) / 2)]
  return bilinear(images, size)
    .slice(2, top, top + height)
    .slice(3, left, left + width)
}
