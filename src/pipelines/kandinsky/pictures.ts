import { resizeLevels } from '../../images/pillow.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { asBatch, asHint, levelsOf, type Size } from '../images/fit.ts'
import { binaryMask, thinned } from '../images/mask.ts'

/** A given picture at the size, as Kandinsky's pipelines bring it there: f32 [1, 3, H, W] in [−1, 1]. */
export const pictureAt = (picture: NdArray, size: Size): NdArray<'f32'> =>
  asBatch(resizeLevels(levelsOf(picture), { ...size, kernel: 'bicubic', reduce: true }))

/** A control image as the network takes it, eight times as large as the latents: f32 [1, 3, 8·h, 8·w] in [0, 1]. */
export const hintAt = (picture: NdArray, { height, width }: Size): NdArray<'f32'> =>
  asHint(resizeLevels(levelsOf(picture), { height: 8 * height, width: 8 * width }))

/**
 * Which latents of a picture stay: f32 [1, 1, h, w], 1 where nothing is repainted there, nor in a neighbour beside, above, below, or on
 * the one diagonal.
 */
export function keptLatents(mask: NdArray, size: Size, factor: number): NdArray<'f32'> {
  const repainted = thinned(binaryMask(levelsOf(mask), size), factor)
  const [, , h, w] = repainted.shape as [number, number, number, number]
  const kept = repainted.mul(-1).add(1).cast('f32')
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++) {
      if (repainted.data[y * w + x] === 0) continue
      for (const [dy, dx] of neighbours) {
        const [j, i] = [y + dy, x + dx]
        if (j >= 0 && j < h && i >= 0 && i < w) kept.data[j * w + i] = 0
      }
    }
  return kept
}

/** diffusers' `prepare_mask` leaves the other diagonal out. */
const neighbours = [
  [-1, 0],
  [0, -1],
  [-1, -1],
  [1, 0],
  [0, 1],
  [1, 1],
] as const
