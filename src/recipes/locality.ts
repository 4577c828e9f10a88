import { z } from 'zod'
import { concat } from '../core/functions.ts'
import { input, type Tensor } from '../core/tensor.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { Generator } from '../runtime/random.ts'

/** Latents that say what is at their place, whatever stands elsewhere in the picture. */
export const localitySchema = z.strictObject({
  /** Against the error of pictures. */
  weight: z.number().positive(),
  /** Cells beside the cut that may see across it. */
  margin: z.int().min(0).default(2),
})

/** An encoder's norms and attention see the whole picture; `locality` is what that does to the latents. */
export interface Locality {
  /** Mean square, over that of the latents. */
  readonly difference: Tensor
  /** Values of the inputs that it takes. */
  feeds(generator: Generator): Readonly<Record<string, NdArray>>
}

/**
 * How far latents depend on what is elsewhere. A rectangle of each picture [B, C, H, W] is laid over the next one of the batch, as
 * in CutMix (Yun et al. 2019); away from the cut the latents of the mixture should be those of the picture that a cell is from.
 * Consistency under a change of the picture, as in EQ-VAE (Kouzelis et al. 2025), which scales and turns it. Of one picture there is
 * nothing to compare.
 *
 * @param encode pictures → latents [B, c, h, w]
 */
export function locality(images: Tensor, latents: Tensor, encode: (images: Tensor) => Tensor, margin: number): Locality {
  const [, , h, w] = latents.shape as [number, number, number, number]
  const factor = (images.shape[2] as number) / h
  const [cut, kept] = [input('cut', [1, 1, h, w]), input('kept', [1, 1, h, w])]
  const mixed = (x: Tensor, mask: Tensor) => {
    const count = x.shape[0] as number
    const next = concat([x.slice(0, 1, count), x.slice(0, 0, 1)], 0)
    return next.add(x.sub(next).mul(mask))
  }
  const found = encode(mixed(images, cut.upsample([factor, factor])))
  const square = found.sub(mixed(latents, cut)).square().mul(kept)
  const power = latents.square().mean().stopGradient()
  return {
    difference: square.mean().div(kept.mean()).div(power),
    feeds: (generator) => rectangle(generator, [h, w], margin),
  }
}

/** 1 in a rectangle of three to six eighths of each side, and 1 where a cell is more than `margin` from its edge. */
function rectangle(generator: Generator, [h, w]: readonly [number, number], margin: number): Record<'cut' | 'kept', NdArray> {
  const whole = (least: number, most: number) => Number(generator.randint(least, most + 1, [1]).item())
  const span = (side: number) => {
    const length = whole(Math.ceil((3 * side) / 8), Math.floor((6 * side) / 8))
    const start = whole(0, side - length)
    return [start, start + length] as const
  }
  const [[top, bottom], [left, right]] = [span(h), span(w)]
  const inside = (y: number, x: number, by: number) => y >= top + by && y < bottom - by && x >= left + by && x < right - by
  const mask = (is: (y: number, x: number) => boolean) =>
    new NdArray(
      Float32Array.from({ length: h * w }, (_, i) => Number(is(Math.floor(i / w), i % w))),
      [1, 1, h, w],
      'f32',
    )
  return {
    cut: mask((y, x) => inside(y, x, 0)),
    kept: mask((y, x) => inside(y, x, margin) || !inside(y, x, -margin)),
  }
}
