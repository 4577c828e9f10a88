import { NdArray } from '../../runtime/ndarray.ts'
import { type Pixels, sizeOf } from '../pixels.ts'
import { foreground } from './foreground.ts'

/** The outline of what stands before a plain background: white lines of one pixel on black, the outermost pixels of the objects. */
export function outline(pixels: Pixels): Pixels {
  const { H, W } = sizeOf(pixels)
  const mask = foreground(pixels)
  const inside = (y: number, x: number) => y >= 0 && y < H && x >= 0 && x < W && mask[y * W + x] === 1
  const out = new Uint8Array(H * W * 3)
  for (let y = 0; y < H; y++)
    for (let x = 0; x < W; x++) {
      if (!inside(y, x)) continue
      const enclosed = inside(y - 1, x) && inside(y + 1, x) && inside(y, x - 1) && inside(y, x + 1)
      if (!enclosed) out.fill(255, (y * W + x) * 3, (y * W + x) * 3 + 3)
    }
  return new NdArray(out, [H, W, 3], 'u8')
}
