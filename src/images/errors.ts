import { LangevinError } from '../core/errors.ts'

/**
 * Why a picture was refused.
 *
 * - `missing`: no such file, or not readable
 * - `format`: not a PNG, JPEG, WebP, GIF or TIFF, whatever its name says
 * - `mime`: the bytes are not of the declared media type
 * - `size`: too many bytes or pixels, or too few pixels
 * - `animated`: more than one frame
 * - `broken`: truncated or damaged
 * - `values`: numbers that are no picture: not finite, or far out of range
 */
export type ImageFault = 'missing' | 'format' | 'mime' | 'size' | 'animated' | 'broken' | 'values'

/** A picture that cannot be read, drawn or written: the message names it, what was found and what would do. */
export class ImageError extends LangevinError {
  readonly place: string
  readonly fault: ImageFault

  constructor(place: string, fault: ImageFault, message: string, options?: ErrorOptions) {
    super(`${place}: ${message}`, options)
    this.place = place
    this.fault = fault
  }
}
