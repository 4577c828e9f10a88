import { ArgumentError } from '../../core/errors.ts'
import { resizeLevels, toGrey } from '../../images/pillow.ts'
import type { Pixels } from '../../images/pixels.ts'
import { pictureFault } from '../../images/range.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { asBatch, levelsOf, type Size, sizeOfPicture } from '../images/fit.ts'

/** Python's `round`: halves to the even side. */
const rounded = (x: number): number => {
  const down = Math.floor(x)
  return x - down === 0.5 ? down + (down % 2) : Math.round(x)
}

/** The size of which the shorter side is the network's, and the longer one in its proportion a multiple of 8. */
function sizeFor({ width, height }: Size, side: number): Size {
  const ratio = width / height
  return ratio >= 1
    ? { height: side, width: rounded((side / 8) * ratio) * 8 }
    : { height: rounded(side / 8 / ratio) * 8, width: side }
}

const resized = (levels: Pixels, side: number): Pixels =>
  resizeLevels(levels, { ...sizeFor(sizeOfPicture(levels), side), kernel: 'bicubic' })

/** A picture to start from, at the network's size: f32 [1, 3, H, W] in [−1, 1]. */
export const startingPicture = (picture: NdArray, side: number): NdArray<'f32'> => asBatch(resized(levelsOf(picture), side))

/** Its mask: f32 [1, 1, H, W], 1 is repainted. @throws ArgumentError for one of other proportions */
export function startingMask(mask: NdArray, side: number, of: NdArray<'f32'>): NdArray<'f32'> {
  const levels = resized(toGrey(levelsOf(mask)), side)
  const { height, width } = sizeOfPicture(levels)
  const [, , H, W] = of.shape
  if (height !== H || width !== W)
    throw new ArgumentError(
      `mask: it comes to ${width} × ${height} pixels, and its picture to ${W} × ${H}: both must have one shape`,
    )
  return new NdArray(
    Float32Array.from(levels.data, (level) => (level < 128 ? 0 : 1)),
    [1, 1, height, width],
    'f32',
  )
}

/**
 * Pictures to enlarge, with the values that they have: one [3, H, W] or one for each of `num`, f32 [1 or num, 3, H, W]. What an earlier
 * stage made may leave [−1, 1] a little.
 */
export function smallPictures(picture: NdArray, num: number): NdArray<'f32'> {
  if (picture.dtype !== 'f32') return asBatch(levelsOf(picture))
  // What stages hand on, a batch, may lie anywhere.
  const fault = picture.shape.length === 4 ? undefined : pictureFault(picture)
  if (fault !== undefined) throw new ArgumentError(`image: ${fault}`)
  const shape = picture.shape.length === 3 ? [1, ...picture.shape] : picture.shape
  const [count = 0, C, H, W] = shape
  if (shape.length !== 4 || (count !== 1 && count !== num) || (C !== 1 && C !== 3) || !H || !W)
    throw new ArgumentError(`image: expected [3, H, W], or [${num}, 3, H, W], got [${picture.shape.join(', ')}]`)
  const all = picture.cast('f32').reshape(shape)
  return C === 3 ? all : NdArray.concat([all, all, all], 1)
}
