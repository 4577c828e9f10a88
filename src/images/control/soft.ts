import { NdArray } from '../../runtime/ndarray.ts'
import { blurLevels } from '../pillow.ts'
import { type Pixels, sizeOf } from '../pixels.ts'
import { canny } from './canny.ts'

/** The colours alone: a Gaussian blur with a deviation of a sixteenth of the shorter side. */
export function blur(pixels: Pixels): Pixels {
  const { H, W } = sizeOf(pixels)
  return blurLevels(pixels, Math.min(H, W) / 16)
}

/** As if drawn by a thick pen: the edges that are left after a slight blur, widened. Lines are a fiftieth of the shorter side wide. */
export function scribble(pixels: Pixels): Pixels {
  const { H, W } = sizeOf(pixels)
  const side = Math.min(H, W)
  const edges = canny(blurLevels(pixels, side / 100), { low: 50, high: 100 })
  const reach = Math.max(1, Math.round(side / 100))
  const out = new Uint8Array(H * W * 3)
  for (let y = 0; y < H; y++)
    for (let x = 0; x < W; x++) {
      if (edges.data[(y * W + x) * 3] === 0) continue
      for (let v = Math.max(0, y - reach); v <= Math.min(H - 1, y + reach); v++)
        for (let u = Math.max(0, x - reach); u <= Math.min(W - 1, x + reach); u++)
          if ((u - x) ** 2 + (v - y) ** 2 <= reach ** 2) out.fill(255, (v * W + u) * 3, (v * W + u) * 3 + 3)
    }
  return new NdArray(out, [H, W, 3], 'u8')
}
