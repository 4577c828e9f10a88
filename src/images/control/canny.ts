import { NdArray } from '../../runtime/ndarray.ts'
import { type Pixels, sizeOf } from '../pixels.ts'

export interface CannyOptions {
  /** A gradient above it belongs to an edge that one above `high` belongs to. */
  readonly low?: number
  readonly high?: number
}

/** tan 22.5°, times 2¹⁵. */
const TAN = 13573

/**
 * Edges (Canny 1986), white on black, as OpenCV's `Canny(picture, 100, 200)` finds them, which ControlNets of edges learnt from: Sobel's
 * gradients of the channel in which they are largest, |gx| + |gy| long, the thickness of one pixel, and strong edges with what weak ones
 * are joined to them.
 */
export function canny(pixels: Pixels, { low = 100, high = 200 }: CannyOptions = {}): Pixels {
  const { H, W } = sizeOf(pixels)
  const { gx, gy, lengths } = gradients(pixels)
  // 0: none; 1: weak; 2: strong.
  const kinds = new Uint8Array(H * W)
  const open: number[] = []
  const across = W + 2
  for (let y = 0; y < H; y++)
    for (let x = 0; x < W; x++) {
      const at = (y + 1) * across + x + 1
      const own = lengths[at] as number
      if (own <= Math.floor(low) || !isRidge(at, y * W + x, own)) continue
      kinds[y * W + x] = own > Math.floor(high) ? 2 : 1
      if (own > Math.floor(high)) open.push(y * W + x)
    }
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const [y, x] = [Math.floor(at / W), at % W]
    for (let v = Math.max(0, y - 1); v <= Math.min(H - 1, y + 1); v++)
      for (let u = Math.max(0, x - 1); u <= Math.min(W - 1, x + 1); u++)
        if (kinds[v * W + u] === 1) {
          kinds[v * W + u] = 2
          open.push(v * W + u)
        }
  }
  const out = new Uint8Array(H * W * 3)
  for (let i = 0; i < H * W; i++) if (kinds[i] === 2) out.fill(255, 3 * i, 3 * i + 3)
  return new NdArray(out, [H, W, 3], 'u8')

  /** Whether the gradient is no shorter than its neighbours along its own direction, to the nearest 45°. */
  function isRidge(at: number, i: number, own: number): boolean {
    const [dx, dy] = [gx[i] as number, gy[i] as number]
    const [flat, tall] = [Math.abs(dx) * TAN, Math.abs(dy) * 2 ** 15]
    const length = (offset: number) => lengths[at + offset] as number
    if (tall < flat) return own > length(-1) && own >= length(1)
    if (tall > flat + Math.abs(dx) * 2 ** 16) return own > length(-across) && own >= length(across)
    const side = dx < 0 !== dy < 0 ? -1 : 1
    return own > length(-across - side) && own > length(across + side)
  }
}

/** Sobel's gradients of the channel in which they are longest, and their lengths within a frame of zeros; the edge goes on as it ends. */
function gradients(pixels: Pixels) {
  const { H, W, C } = sizeOf(pixels)
  const { data } = pixels
  const [gx, gy] = [new Int32Array(H * W), new Int32Array(H * W)]
  const lengths = new Int32Array((H + 2) * (W + 2))
  for (let y = 0; y < H; y++) {
    const rows = [Math.max(0, y - 1), y, Math.min(H - 1, y + 1)].map((row) => row * W) as [number, number, number]
    for (let x = 0; x < W; x++) {
      const columns = [Math.max(0, x - 1), x, Math.min(W - 1, x + 1)] as const
      let longest = -1
      for (let c = 0; c < C; c++) {
        const level = (row: 0 | 1 | 2, column: 0 | 1 | 2) => data[(rows[row] + columns[column]) * C + c] as number
        const dx = level(0, 2) + 2 * level(1, 2) + level(2, 2) - level(0, 0) - 2 * level(1, 0) - level(2, 0)
        const dy = level(2, 0) + 2 * level(2, 1) + level(2, 2) - level(0, 0) - 2 * level(0, 1) - level(0, 2)
        const length = Math.abs(dx) + Math.abs(dy)
        if (length <= longest) continue
        longest = length
        gx[y * W + x] = dx
        gy[y * W + x] = dy
      }
      lengths[(y + 1) * (W + 2) + x + 1] = longest
    }
  }
  return { gx, gy, lengths }
}
