import { dims, range, type Shape } from '../core/shape.ts'
import { constant, type Tensor } from '../core/tensor.ts'

/** Keys 1981 with the factor of PyTorch's `interpolate`. */
const A = -0.75

const kernel = (x: number): number => {
  const d = Math.abs(x)
  if (d <= 1) return ((A + 2) * d - (A + 3)) * d * d + 1
  return d < 2 ? ((A * d - 5 * A) * d + 8 * A) * d - 4 * A : 0
}

/**
 * [B, C, H, W] → [B, C, height, width] as PyTorch's `interpolate` in its bicubic mode: half-pixel centres, the border's pixels repeated, and
 * no wider kernel where a picture shrinks.
 */
export function bicubic(x: Tensor, [height, width]: readonly [number, number]): Tensor {
  const { B, C, H, W } = dims(x, 'B C H W')
  const across = x.reshape([B * C * H, W]).matmul(weights(W, width), { transB: true })
  const turned = across
    .reshape([B * C, H, width])
    .transpose(0, 2, 1)
    .reshape([B * C * width, H])
  const down = turned.matmul(weights(H, height), { transB: true })
  return down
    .reshape([B * C, width, height])
    .transpose(0, 2, 1)
    .reshape([B, C, height, width] satisfies Shape)
}

/** The weight of each of `from` pixels in each of `size`: [size, from]. */
function weights(from: number, size: number): Tensor {
  const matrix = new Float32Array(size * from)
  for (const i of range(size)) {
    const centre = ((i + 0.5) * from) / size - 0.5
    const first = Math.floor(centre) - 1
    for (const k of range(4)) {
      const at = Math.min(from - 1, Math.max(0, first + k))
      matrix[i * from + at] = (matrix[i * from + at] as number) + kernel(centre - (first + k))
    }
  }
  return constant(matrix, [size, from])
}
