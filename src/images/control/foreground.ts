import { type Pixels, sizeOf } from '../pixels.ts'

/** How far a level may lie from the background's, in any channel. */
const TOLERANCE = 40

/**
 * What stands before a plain background: 1 for each pixel, row by row, that is not connected to the picture's edge through pixels of the
 * background's colour, which is the median of the edge. What is enclosed belongs to the object, whatever its colour.
 */
export function foreground(pixels: Pixels): Uint8Array {
  const { H, W, C } = sizeOf(pixels)
  const { data } = pixels
  const edge = edgeOf(H, W)
  const background = Array.from({ length: C }, (_, c) => {
    const levels = edge.map((at) => data[at * C + c] as number).sort((a, b) => a - b)
    return levels[Math.floor(levels.length / 2)] as number
  })
  const plain = (at: number) => background.every((level, c) => Math.abs((data[at * C + c] as number) - level) <= TOLERANCE)
  const mask = new Uint8Array(H * W).fill(1)
  const open: number[] = []
  const reach = (at: number) => {
    if (mask[at] === 0 || !plain(at)) return
    mask[at] = 0
    open.push(at)
  }
  for (const at of edge) reach(at)
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const x = at % W
    if (x > 0) reach(at - 1)
    if (x < W - 1) reach(at + 1)
    if (at >= W) reach(at - W)
    if (at < (H - 1) * W) reach(at + W)
  }
  return mask
}

/** The pixels along a picture's four sides, by their number. */
function edgeOf(H: number, W: number): number[] {
  const all: number[] = []
  for (let x = 0; x < W; x++) all.push(x, (H - 1) * W + x)
  for (let y = 1; y < H - 1; y++) all.push(y * W, y * W + W - 1)
  return all
}

/** Pixels in both masks as a share of those in either; 1 where both are empty. */
export function overlap(a: Uint8Array, b: Uint8Array): number {
  let [both, either] = [0, 0]
  for (let i = 0; i < a.length; i++) {
    both += (a[i] as number) & (b[i] as number)
    either += (a[i] as number) | (b[i] as number)
  }
  return either === 0 ? 1 : both / either
}
