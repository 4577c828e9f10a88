import type { NdArray } from '../runtime/ndarray.ts'
import { ImageError } from './errors.ts'

/**
 * Why an array of numbers is no picture in a range: a value that is not finite, or one that lies farther from the range than the range
 * is wide. What a network made goes a little beyond and is clamped; levels of 0 … 255 that were not scaled go much further.
 *
 * @param range the lowest and the highest value of a picture; [−1, 1] unless given
 * @returns undefined for a picture
 */
export function pictureFault({ dtype, data }: NdArray, [low, high]: readonly [number, number] = [-1, 1]): string | undefined {
  if (dtype === 'u8') return undefined
  const slack = high - low
  const at = data.findIndex((value) => !(Number(value) >= low - slack && Number(value) <= high + slack))
  if (at < 0) return undefined
  const scaled = low === 0 ? `x / ${255 / high}` : `x / ${255 / (high - low)} − ${-low}`
  return `a picture has values in [${low}, ${high}], and element ${at} of this one is ${data[at]}: bring levels x of 0 … 255 to ${scaled}`.replace(
    /-(?=\d)/g,
    '−',
  )
}

/** @throws ImageError for a picture that `pictureFault` finds fault with */
export function checkPicture(picture: NdArray, place: string, range?: readonly [number, number]): void {
  const fault = pictureFault(picture, range)
  if (fault !== undefined) throw new ImageError(place, 'values', fault)
}
