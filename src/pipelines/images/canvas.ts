import { ArgumentError } from '../../core/errors.ts'
import { imagesOf, type Pixels, toPixels, toTensor } from '../../images/index.ts'
import type { Box } from '../../images/pillow.ts'
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

/** Pictures of a box laid over the picture that was given; without a box as they are. */
export function laidOver(pictures: NdArray<'f32'>, { image, mask, box }: Canvas): NdArray<'f32'> {
  if (!box || !image) return pictures
  return NdArray.stack(imagesOf(pictures).map((made) => toTensor(overlaid(toPixels(made), image, mask, box))))
}
