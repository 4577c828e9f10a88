import { ShapeError } from '../../core/errors.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { BlurKernel } from './kernels.ts'

/** A picture in [0, 1]: [C, H, W]. */
export type UnitImage = NdArray<'f32'>

export function sizesOf(image: UnitImage): { C: number; H: number; W: number } {
  const [C, H, W] = image.shape
  if (image.shape.length !== 3 || !C || !H || !W)
    throw new ShapeError(`expected a picture [C, H, W], got [${image.shape.join(', ')}]`)
  return { C, H, W }
}

/** Index `i` of an axis of `n`, mirrored at the border's pixels as often as it takes. */
export function mirrored(i: number, n: number): number {
  if (n === 1) return 0
  const period = 2 * (n - 1)
  const at = ((i % period) + period) % period
  return at < n ? at : period - at
}

/** Every pixel the weighted sum of those around it; the border is mirrored. */
export function filter(image: UnitImage, { size, weights }: BlurKernel): UnitImage {
  const { C, H, W } = sizesOf(image)
  const half = (size - 1) / 2
  const wide = W + 2 * half
  const out = new Float32Array(C * H * W)
  const row = new Float32Array(wide)
  for (let c = 0; c < C; c++)
    for (let y = 0; y < H + 2 * half; y++) {
      const from = (c * H + mirrored(y - half, H)) * W
      for (let x = 0; x < wide; x++) row[x] = image.data[from + mirrored(x - half, W)] as number
      // This row of the picture is seen by so many rows of the result, each through another row of the kernel.
      for (let v = Math.max(0, y - H + 1); v < Math.min(size, y + 1); v++) {
        const to = (c * H + y - v) * W
        for (let u = 0; u < size; u++) {
          const weight = weights[v * size + u] as number
          if (weight === 0) continue
          for (let x = 0; x < W; x++) out[to + x] = (out[to + x] as number) + weight * (row[x + u] as number)
        }
      }
    }
  return new NdArray(out, image.shape, 'f32')
}

/** The same by a kernel that is a product of one across and one down. */
export function filterSeparable(image: UnitImage, line: ArrayLike<number>): UnitImage {
  const { C, H, W } = sizesOf(image)
  const half = (line.length - 1) / 2
  const across = new Float32Array(C * H * W)
  for (let y = 0; y < C * H; y++)
    for (let u = 0; u < line.length; u++) {
      const weight = line[u] as number
      for (let x = 0; x < W; x++)
        across[y * W + x] = (across[y * W + x] as number) + weight * (image.data[y * W + mirrored(x + u - half, W)] as number)
    }
  const out = new Float32Array(C * H * W)
  for (let c = 0; c < C; c++)
    for (let y = 0; y < H; y++)
      for (let v = 0; v < line.length; v++) {
        const weight = line[v] as number
        const from = (c * H + mirrored(y + v - half, H)) * W
        const to = (c * H + y) * W
        for (let x = 0; x < W; x++) out[to + x] = (out[to + x] as number) + weight * (across[from + x] as number)
      }
  return new NdArray(out, image.shape, 'f32')
}

/** How pictures change their size in degradations, by the names of PyTorch's `interpolate`: none widens its kernel where a picture shrinks. */
export const resizeModes = ['area', 'bilinear', 'bicubic'] as const
export type ResizeMode = (typeof resizeModes)[number]

/** For each of `size` pixels: the first it is made of, and the weights from there on. */
type Weights = readonly (readonly [first: number, weights: readonly number[]])[]

/** [C, H, W] → [C, height, width] by PyTorch's `interpolate`, given a size; or given a factor, which then says where pixels lie. */
export function interpolate(
  image: UnitImage,
  to: { readonly height: number; readonly width: number; readonly factor?: number },
  mode: ResizeMode,
): UnitImage {
  const { C, H, W } = sizesOf(image)
  const { height, width, factor } = to
  const [columns, rows] = [weightsOf(W, width, mode, factor), weightsOf(H, height, mode, factor)]
  const across = new Float32Array(C * H * width)
  for (let y = 0; y < C * H; y++)
    for (const [x, [first, weights]] of columns.entries()) {
      let sum = 0
      for (let k = 0; k < weights.length; k++)
        sum += (weights[k] as number) * (image.data[y * W + clamped(first + k, W)] as number)
      across[y * width + x] = sum
    }
  const out = new Float32Array(C * height * width)
  for (let c = 0; c < C; c++)
    for (const [y, [first, weights]] of rows.entries())
      for (let k = 0; k < weights.length; k++) {
        const [weight, from] = [weights[k] as number, (c * H + clamped(first + k, H)) * width]
        const at = (c * height + y) * width
        for (let x = 0; x < width; x++) out[at + x] = (out[at + x] as number) + weight * (across[from + x] as number)
      }
  return new NdArray(out, [C, height, width], 'f32')
}

const clamped = (i: number, n: number) => Math.min(n - 1, Math.max(0, i))

function weightsOf(from: number, size: number, mode: ResizeMode, factor?: number): Weights {
  const step = factor === undefined ? from / size : 1 / factor
  return Array.from({ length: size }, (_, i) => {
    if (mode === 'area') {
      const first = Math.floor((i * from) / size)
      const count = Math.ceil(((i + 1) * from) / size) - first
      return [first, Array<number>(count).fill(1 / count)] as const
    }
    const centre = (i + 0.5) * step - 0.5
    if (mode === 'bilinear') {
      const at = Math.max(0, centre)
      const rest = at - Math.floor(at)
      return [Math.floor(at), [1 - rest, rest]] as const
    }
    const first = Math.floor(centre) - 1
    return [first, [0, 1, 2, 3].map((k) => keys(centre - first - k))] as const
  })
}

/** Keys 1981, a = −3/4. */
function keys(x: number): number {
  const d = Math.abs(x)
  if (d <= 1) return (1.25 * d - 2.25) * d * d + 1
  return d < 2 ? ((-0.75 * d + 3.75) * d - 6) * d + 3 : 0
}
