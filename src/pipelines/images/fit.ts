import { ArgumentError } from '../../core/errors.ts'
import { type FitMode, fitPicture } from '../../images/canvas.ts'
import { type Box, cropLevels, pasteLevels, resizeLevels } from '../../images/pillow.ts'
import { type Picture, type Pixels, pixelsOf, toRgb, toTensor } from '../../images/pixels.ts'
import { pictureFault } from '../../images/range.ts'
import type { Kernel } from '../../images/resize.ts'
import { NdArray } from '../../runtime/ndarray.ts'

export interface Size {
  readonly height: number
  readonly width: number
}

/** A given picture as levels [H, W, 3]. @throws ArgumentError for values that are no picture's in [−1, 1] */
export function levelsOf(picture: NdArray): Pixels {
  const fault = pictureFault(picture)
  if (fault !== undefined) throw new ArgumentError(fault)
  return toRgb(pixelsOf(picture as Picture))
}

export const sizeOfPicture = ({ shape: [height, width] }: Pixels): Size => ({ height: height as number, width: width as number })

/** The size down to whole latents. */
export const wholeLatents = ({ height, width }: Size, factor: number): Size => ({
  height: height - (height % factor),
  width: width - (width % factor),
})

/** How a picture comes to its size: stretched, or by its own proportions with its edges spread over what is left. */
export interface Fitting extends Size {
  readonly kernel?: Kernel
  /** By AUTOMATIC1111's resize modes where it is not to be stretched. */
  readonly mode?: FitMode | undefined
  /** First cut to this box, and then fitted by its proportions. */
  readonly box?: Box | undefined
}

/** Levels at a size, as diffusers' `VaeImageProcessor.preprocess` resizes them. */
export function fitted(pixels: Pixels, { height, width, kernel = 'lanczos', mode = 'stretch', box }: Fitting): Pixels {
  if (!box && mode !== 'stretch') return fitPicture(pixels, { width, height, mode })
  if (!box) return resizeLevels(pixels, { width, height, kernel })
  const cut = cropLevels(pixels, box)
  const own = sizeOfPicture(cut)
  const wider = width / height < own.width / own.height
  const inner = {
    width: wider ? width : Math.floor((own.width * height) / own.height),
    height: wider ? Math.floor((own.height * width) / own.width) : height,
  }
  const resized = resizeLevels(cut, { ...inner, kernel })
  const [left, top] = [Math.floor(width / 2) - Math.floor(inner.width / 2), Math.floor(height / 2) - Math.floor(inner.height / 2)]
  let out = pasteLevels(NdArray.zeros([height, width, cut.shape[2] as number], 'u8'), resized, left, top)
  const spread = (line: Box, size: Size, x: number, y: number) => {
    out = pasteLevels(out, resizeLevels(resized, { ...size, kernel: 'bicubic', box: line }), x, y)
  }
  if (wider && top > 0) {
    spread([0, 0, width, 0], { width, height: top }, 0, 0)
    spread([0, inner.height, width, inner.height], { width, height: top }, 0, top + inner.height)
  } else if (!wider && left > 0) {
    spread([0, 0, 0, height], { width: left, height }, 0, 0)
    spread([inner.width, 0, inner.width, height], { width: left, height }, left + inner.width, 0)
  }
  return out
}

/** f32 [1, 3, H, W] in [−1, 1]. */
export const asBatch = (pixels: Pixels): NdArray<'f32'> => {
  const image = toTensor(pixels)
  return image.reshape([1, ...image.shape])
}

/**
 * A picture at a size: f32 [1, 3, H, W]. One that has it keeps its values, which lie between levels and a little beyond [−1, 1] where
 * another stage made them.
 */
export function asGivenOrFitted(picture: NdArray, fitting: Fitting): NdArray<'f32'> {
  const [C, H, W] = picture.shape
  const levels = levelsOf(picture)
  if (picture.dtype === 'f32' && C === 3 && H === fitting.height && W === fitting.width)
    return picture.cast('f32').reshape([1, C, H, W])
  return asBatch(fitted(levels, fitting))
}

/** f32 [1, 3, H, W] in [0, 1], as ControlNets take their hints. */
export const asHint = (pixels: Pixels): NdArray<'f32'> => {
  const [H, W, C] = pixels.shape as [number, number, number]
  const planes = pixels.permute([2, 0, 1])
  return new NdArray(
    Float32Array.from(planes.data, (level) => level / 255),
    [1, C, H, W],
    'f32',
  )
}
