import { type Box, pasteLevels, resizeLevels, toGrey } from '../../images/pillow.ts'
import type { Pixels } from '../../images/pixels.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type Size, sizeOfPicture } from './fit.ts'

/** The picture that was given, with what was made of a box of it where the mask is white: diffusers' `apply_overlay`. */
export function overlaid(made: Pixels, original: Pixels, mask: Pixels, box: Box): Pixels {
  const { height, width } = sizeOfPicture(original)
  const [left, top, right, bottom] = box
  const background = pasteLevels(
    NdArray.zeros([height, width, 3], 'u8'),
    covering(made, { width: right - left, height: bottom - top }),
    left,
    top,
  )
  const grey = toGrey(mask)
  const out = background.data.slice()
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
