import { ArgumentError } from '../../core/errors.ts'
import { type Box, blurLevels, toGrey } from '../../images/pillow.ts'
import type { Pixels } from '../../images/pixels.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type Fitting, fitted, type Size } from './fit.ts'

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
