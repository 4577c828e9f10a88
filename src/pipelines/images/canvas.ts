import { ArgumentError } from '../../core/errors.ts'
import { pasteBack } from '../../images/canvas.ts'
import { type Box, toGrey } from '../../images/pillow.ts'
import { imagesOf, type Pixels, toPixels, toTensor } from '../../images/pixels.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { levelsOf, type Size } from './fit.ts'
import { boxOf, softened } from './mask.ts'
import { overlaid } from './overlay.ts'

/** What in-painting works on: the whole picture, or a box of it. Without a picture it is what the given latents show. */
export interface Canvas {
  readonly image: Pixels | undefined
  readonly mask: Pixels
  readonly box: Box | undefined
}

/** The options of in-painting. */
export interface CanvasOptions {
  readonly image?: NdArray | undefined
  readonly mask?: NdArray | undefined
  readonly maskPadding?: number | undefined
  readonly maskBlur: number
  /** What stands in for the picture. */
  readonly latents?: NdArray | undefined
}

/** @throws ArgumentError where the picture or its mask is missing, or they differ in size */
export function canvasOf(settings: CanvasOptions, size: Size): Canvas {
  if (!settings.mask || !(settings.image || (settings.latents && settings.maskPadding === undefined)))
    throw new ArgumentError('inpaint: a picture and its mask are needed, image and mask')
  const mask = softened(levelsOf(settings.mask), settings.maskBlur)
  if (!settings.image) return { image: undefined, mask, box: undefined }
  const image = levelsOf(settings.image)
  const [of, is] = [image, mask].map(({ shape: [height, width] }) => `${width} × ${height}`)
  if (settings.maskPadding === undefined) return { image, mask, box: undefined }
  if (of !== is) throw new ArgumentError(`mask: it is ${is} pixels and the picture ${of}: to crop to it both must be of one size`)
  return { image, mask, box: boxOf(mask, size, settings.maskPadding) }
}

/** Pictures of a box laid over the picture that was given, or, where it is asked for, of all of it; else as they are. */
export function laidOver(pictures: NdArray<'f32'>, { image, mask, box }: Canvas, paste = false): NdArray<'f32'> {
  if (!image || !(box || paste)) return pictures
  const [height, width] = image.shape as [number, number]
  const over = (made: Pixels) =>
    box ? overlaid(made, image, mask, box) : pasteBack(image, made, { box: [0, 0, width, height], mask: toGrey(mask) })
  return NdArray.stack(imagesOf(pictures).map((made) => toTensor(over(toPixels(made)))))
}
