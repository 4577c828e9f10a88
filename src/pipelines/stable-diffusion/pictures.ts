import { ArgumentError } from '../../core/errors.ts'
import { type Kernel, type Picture, type Pixels, pixelsOf, toRgb, toTensor } from '../../images/index.ts'
import { type Box, blurLevels, cropLevels, pasteLevels, resizeLevels, toGrey } from '../../images/pillow.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { Size } from './conditions.ts'

/** A given picture as levels [H, W, 3]. */
export const levelsOf = (picture: NdArray): Pixels => toRgb(pixelsOf(picture as Picture))

export const sizeOfPicture = ({ shape: [height, width] }: Pixels): Size => ({ height: height as number, width: width as number })

/** The size down to whole latents. */
export const wholeLatents = ({ height, width }: Size, factor: number): Size => ({
  height: height - (height % factor),
  width: width - (width % factor),
})

/** How a picture comes to its size: stretched, or by its own proportions with its edges spread over what is left. */
export interface Fitting extends Size {
  readonly kernel?: Kernel
  /** First cut to this box, and then fitted by its proportions. */
  readonly box?: Box | undefined
}

/** Levels at a size, as diffusers' `VaeImageProcessor.preprocess` resizes them. */
export function fitted(pixels: Pixels, { height, width, kernel = 'lanczos', box }: Fitting): Pixels {
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

/** A mask of the size: f32 [1, 1, H, W], 1 where it is white by half at least. */
export function binaryMask(mask: Pixels, fitting: Fitting): NdArray<'f32'> {
  const { height, width } = fitting
  const levels = toGrey(fitted(mask, fitting))
  return new NdArray(
    Float32Array.from(levels.data, (level) => (level < 128 ? 0 : 1)),
    [1, 1, height, width],
    'f32',
  )
}

/** Every factor-th pixel: a mask for latents. */
export function thinned(mask: NdArray<'f32'>, factor: number): NdArray<'f32'> {
  const [, , H, W] = mask.shape as [number, number, number, number]
  const [h, w] = [H / factor, W / factor]
  const out = Float32Array.from(
    { length: h * w },
    (_, i) => mask.data[Math.floor(i / w) * factor * W + (i % w) * factor] as number,
  )
  return new NdArray(out, [1, 1, h, w], 'f32')
}

export const softened = (mask: Pixels, sigma: number): Pixels => (sigma === 0 ? mask : blurLevels(mask, sigma))

/**
 * The box around what a mask marks, with a margin, in the proportions of the size that is worked at, as far as the picture goes:
 * diffusers' `get_crop_region`.
 */
export function boxOf(mask: Pixels, { height, width }: Size, margin: number): Box {
  const grey = toGrey(mask)
  const [H, W] = grey.shape as [number, number]
  const marked = [...grey.data.keys()].filter((i) => grey.data[i] !== 0)
  if (marked.length === 0) throw new ArgumentError('mask: nothing in it is white, so there is nothing to crop to')
  let [x1, y1, x2, y2] = [W, H, 0, 0]
  for (const i of marked) {
    const [x, y] = [i % W, Math.floor(i / W)]
    ;[x1, x2] = [Math.min(x1, x), Math.max(x2, x + 1)]
    ;[y1, y2] = [Math.min(y1, y), Math.max(y2, y + 1)]
  }
  ;[x1, y1, x2, y2] = [Math.max(x1 - margin, 0), Math.max(y1 - margin, 0), Math.min(x2 + margin, W), Math.min(y2 + margin, H)]
  const ratio = width / height
  if ((x2 - x1) / (y2 - y1) > ratio) [y1, y2] = grown(y1, y2, (x2 - x1) / ratio, H)
  else [x1, x2] = grown(x1, x2, (y2 - y1) * ratio, W)
  return [x1, y1, x2, y2]
}

/** A stretch made longer on both sides, moved and cut where it leaves the picture. */
function grown(from: number, to: number, wanted: number, limit: number): [number, number] {
  const more = Math.trunc(wanted - (to - from))
  from -= Math.floor(more / 2)
  to += more - Math.floor(more / 2)
  if (to >= limit) [from, to] = [from - (to - limit), limit]
  if (from < 0) [from, to] = [0, to - from]
  return [from, Math.min(to, limit)]
}

/** The picture that was given, with what was made of a box of it where the mask is white: diffusers' `apply_overlay`. */
export function overlaid(made: Pixels, original: Pixels, mask: Pixels, box: Box): Pixels {
  const { height, width } = sizeOfPicture(original)
  const [left, top, right, bottom] = box
  const ground = pasteLevels(
    NdArray.zeros([height, width, 3], 'u8'),
    covering(made, { width: right - left, height: bottom - top }),
    left,
    top,
  )
  const grey = toGrey(mask)
  const out = ground.data.slice()
  for (let i = 0; i < height * width; i++) {
    const alpha = 255 - (grey.data[i] as number)
    if (alpha === 0) continue
    for (let c = 0; c < 3; c++) {
      const premultiplied = by255((original.data[i * 3 + c] as number) * alpha + 128)
      const over = alpha === 255 ? premultiplied : Math.min(255, Math.floor((255 * premultiplied) / alpha))
      const mixed = over * alpha * 128 + (out[i * 3 + c] as number) * (255 - alpha) * 128
      out[i * 3 + c] = by255(mixed + (128 << 7)) >> 7
    }
  }
  return new NdArray(out, [height, width, 3], 'u8')
}

/** Pillow's division by 255. */
const by255 = (x: number) => (Math.floor(x / 256) + x) >> 8

/** Resized by its own proportions until it covers the size, and cut at the middle. */
function covering(pixels: Pixels, { width, height }: Size): Pixels {
  const own = sizeOfPicture(pixels)
  const narrower = width / height > own.width / own.height
  const inner = {
    width: narrower ? width : Math.floor((own.width * height) / own.height),
    height: narrower ? Math.floor((own.height * width) / own.width) : height,
  }
  const resized = resizeLevels(pixels, inner)
  const [left, top] = [Math.floor(width / 2) - Math.floor(inner.width / 2), Math.floor(height / 2) - Math.floor(inner.height / 2)]
  return pasteLevels(NdArray.zeros([height, width, 3], 'u8'), resized, left, top)
}
