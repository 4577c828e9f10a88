import { NdArray } from '../../runtime/ndarray.ts'
import type { Size } from './fit.ts'

/** PyTorch's bicubic interpolation (a = −3/4, no smoothing where it shrinks): [1, H, W] → [1, height, width]. */
export function cubic(map: NdArray<'f32'>, { height, width }: Size): NdArray<'f32'> {
  const [, H, W] = map.shape as [number, number, number]
  const [rows, columns] = [cubicTaps(H, height), cubicTaps(W, width)]
  const out = Float32Array.from({ length: height * width }, (_, i) => {
    const [across, down] = [columns[i % width], rows[Math.floor(i / width)]] as [CubicTap[], CubicTap[]]
    const row = (y: number) => across.reduce((sum, { at, weight }) => sum + weight * (map.data[y * W + at] as number), 0)
    return down.reduce((sum, { at, weight }) => sum + weight * row(at), 0)
  })
  return new NdArray(out, [1, height, width], 'f32')
}

interface CubicTap {
  readonly at: number
  readonly weight: number
}

function cubicTaps(source: number, count: number): CubicTap[][] {
  const a = -0.75
  const kernel = (x: number) => {
    const d = Math.abs(x)
    return d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
  }
  return Array.from({ length: count }, (_, i) => {
    const place = (i + 0.5) * (source / count) - 0.5
    const first = Math.floor(place)
    return [-1, 0, 1, 2].map((k) => ({
      at: Math.min(source - 1, Math.max(0, first + k)),
      weight: kernel(place - first - k),
    }))
  })
}
