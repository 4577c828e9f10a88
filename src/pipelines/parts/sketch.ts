import { NdArray } from '../../runtime/ndarray.ts'
import type { LatentCoder } from './autoencoder.ts'
import { fitLinear } from './least-squares.ts'

/** Latents a side of the part that is decoded. */
const SIDE = 16

/**
 * Latents in outline: a linear map of a latent's channels to a colour, fitted by least squares to what the autoencoder makes of the
 * middle, 16 × 16 latents at most, so that the decoder's work does not grow with the picture.
 *
 * @param z f32 [B, C, h, w]
 * @returns f32 [B, 3, h, w], nominally in [−1, 1]: a pixel a latent
 */
export async function sketched(z: NdArray<'f32'>, { factor, decode }: LatentCoder): Promise<NdArray<'f32'>> {
  const [B, C, h, w] = z.shape as [number, number, number, number]
  const side = (n: number) => Math.min(SIDE, n)
  const [top, left] = [Math.floor((h - side(h)) / 2), Math.floor((w - side(w)) / 2)]
  const middle = z.slice(2, top, top + side(h)).slice(3, left, left + side(w))
  const decoded = await decode(middle as NdArray<'f32'>)
  const rowsOf = ({ data, shape }: NdArray<'f32'>, channels: number) => {
    const size = (shape[2] as number) * (shape[3] as number)
    return Array.from({ length: B * size }, (_, i) => {
      const [b, at] = [Math.floor(i / size), i % size]
      return Array.from({ length: channels }, (__, c) => data[(b * channels + c) * size + at] as number)
    })
  }
  const map = fitLinear(rowsOf(middle as NdArray<'f32'>, C), rowsOf(averaged(decoded, factor), 3))
  const out = new Float32Array(B * 3 * h * w)
  for (const [i, latent] of rowsOf(z, C).entries()) {
    const [b, at] = [Math.floor(i / (h * w)), i % (h * w)]
    for (let c = 0; c < 3; c++) {
      const weights = map[c] as readonly number[]
      out[(b * 3 + c) * h * w + at] = latent.reduce((sum, value, k) => sum + value * (weights[k] as number), weights[C] as number)
    }
  }
  return new NdArray(out, [B, 3, h, w], 'f32')
}

/** Means of squares of pixels: f32 [B, 3, f·h, f·w] → [B, 3, h, w]. */
function averaged(pictures: NdArray<'f32'>, factor: number): NdArray<'f32'> {
  const [B, C, H, W] = pictures.shape as [number, number, number, number]
  const [h, w] = [H / factor, W / factor]
  return pictures
    .reshape([B, C, h, factor, w, factor])
    .mean({ axes: [3, 5] })
    .cast('f32')
}
