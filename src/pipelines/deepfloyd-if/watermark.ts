import { FolderError, openWeights, readTensor } from '../../checkpoints/index.ts'
import { resizeLevels } from '../../images/pillow.ts'
import { imagesOf, toPixels, toTensor } from '../../images/pixels.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { join } from '../../runtime/system.ts'
import type { Part } from '../open/parts.ts'

/** The mark that a folder's pictures carry: levels [62, 62, 4] of red, green, blue and opacity. */
export type Watermark = NdArray<'u8'>

const SIDE = 62

/** diffusers' `IFWatermarker` among a page's parts: one tensor. @throws FolderError for another shape */
export const watermark = (): Part<Watermark> => ({
  open(source, component, { variant }) {
    const dir = source.beside(component)
    const stored = openWeights(dir, variant === undefined ? {} : { variant }).get('watermark_image')
    const tensor = stored && readTensor(stored)
    if (tensor?.shape.join() !== [SIDE, SIDE, 4].join())
      throw new FolderError(
        join(dir),
        `watermark_image is [${tensor?.shape.join(', ') ?? 'missing'}]; expected [${SIDE}, ${SIDE}, 4]`,
      )
    const levels = tensor.cast('f32').data
    return new NdArray(Uint8Array.from(levels, Math.trunc), tensor.shape, 'u8')
  },
})

/** x·y/255, rounded, as Pillow has it. */
const share = (x: number, y: number): number => {
  const product = x * y + 128
  return ((product >> 8) + product) >> 8
}

/** The mark in another size; where it is transparent its colours count for nothing. */
function resizedMark(mark: Watermark, side: number): Watermark {
  if (side === SIDE) return mark
  const times = (levels: Watermark, change: (level: number, opacity: number) => number) =>
    new NdArray(
      levels.data.map((level, i) => (i % 4 === 3 ? level : change(level, levels.data[i - (i % 4) + 3] as number))),
      levels.shape,
      'u8',
    )
  const resized = resizeLevels(times(mark, share), { width: side, height: side, kernel: 'bicubic' })
  return times(resized, (level, opacity) =>
    opacity === 0 || opacity === 255 ? level : Math.min(255, Math.floor((255 * level) / opacity)),
  )
}

/**
 * Pictures [N, 3, H, W] with the mark in their lower right corner, its size and place as of a picture whose shorter side is the
 * network's (diffusers' `IFWatermarker`). Their values become those of 8-bit levels.
 */
export function marked(pictures: NdArray<'f32'>, mark: Watermark, side: number): NdArray<'f32'> {
  const [, , H, W] = pictures.shape as [number, number, number, number]
  const ratio = Math.min(H / side, W / side)
  const [height, width] = ratio < 1 ? [Math.trunc(H / ratio), Math.trunc(W / ratio)] : [H, W]
  const scale = Math.sqrt((width * height) / 1024 ** 2)
  const size = Math.trunc(scale * SIDE)
  const margin = Math.trunc(scale * 14)
  const [left, top] = [width - margin - size, height - margin - size]
  if (size === 0) return pictures
  const small = resizedMark(mark, size)
  return NdArray.stack(
    imagesOf(pictures).map((picture) => {
      const levels = toPixels(picture)
      for (let y = Math.max(0, -top); y < Math.min(size, H - top); y++)
        for (let x = Math.max(0, -left); x < Math.min(size, W - left); x++)
          for (let c = 0; c < 3; c++) {
            const at = ((y + top) * W + x + left) * 3 + c
            const from = (y * size + x) * 4
            const opacity = small.data[from + 3] as number
            const blend = (levels.data[at] as number) * (255 - opacity) + (small.data[from + c] as number) * opacity
            levels.data[at] = share(blend, 1)
          }
      return toTensor(levels)
    }),
  )
}
