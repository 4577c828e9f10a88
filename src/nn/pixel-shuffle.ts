import { ArgumentError } from '../core/errors.ts'
import { dims } from '../core/shape.ts'
import type { Tensor } from '../core/tensor.ts'

/** Channels become pixels: x [B, C·r², H, W] → [B, C, r·H, r·W] (Shi et al. 2016, eq. 4), in the order of torch's `PixelShuffle`. */
export function pixelShuffle(x: Tensor, factor: number): Tensor {
  const { B, C, H, W } = dims(x, 'B C H W')
  const channels = C / factor ** 2
  if (!Number.isInteger(channels)) throw new ArgumentError(`pixelShuffle: ${C} channels are no multiple of ${factor}²`)
  const split = x.reshape([B, channels, factor, factor, H, W])
  return split.transpose(0, 1, 4, 2, 5, 3).reshape([B, channels, H * factor, W * factor])
}

/** The inverse: x [B, C, r·H, r·W] → [B, C·r², H, W]. */
export function pixelUnshuffle(x: Tensor, factor: number): Tensor {
  const { B, C, H, W } = dims(x, 'B C H W')
  const [height, width] = [H / factor, W / factor]
  if (!Number.isInteger(height) || !Number.isInteger(width))
    throw new ArgumentError(`pixelUnshuffle: ${H}×${W} pixels are no multiple of ${factor}`)
  const split = x.reshape([B, C, height, factor, width, factor])
  return split.transpose(0, 1, 3, 5, 2, 4).reshape([B, C * factor ** 2, height, width])
}
