import { type VideoVaeConfig, videoFactors } from '../../models/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { asGivenOrFitted, type Size } from '../images/fit.ts'
import type { VideoCoder } from '../parts/video-autoencoder.ts'

/** Latent frames that are given, which the network knows to be without noise. */
export interface GivenFrames {
  /** f32 [1, T]: 1 a given latent frame. */
  readonly given: NdArray<'f32'>
  /** The state with the given frames as they are: [1, C, T, h, w]. */
  keep(x: NdArray<'f32'>): NdArray<'f32'>
}

/** A film [T, 3, H, W] at a size. */
export const fittedFilm = (film: NdArray, size: Size): NdArray<'f32'> =>
  NdArray.concat(
    Array.from({ length: film.shape[0] as number }, (_, t) =>
      asGivenOrFitted(film.slice(0, t, t + 1).reshape(film.shape.slice(1)), size),
    ),
  )

/**
 * The frames that a film starts with, [T, 3, H, W], and its last picture [1, 3, H, W] as latent frames. A first frame stands alone in the
 * autoencoder; the last picture is that of a film in which it stands still.
 */
export async function givenFrames(
  coder: VideoCoder,
  { start, last }: { readonly start?: NdArray<'f32'> | undefined; readonly last?: NdArray<'f32'> | undefined },
  { latentFrames: T, vae }: { readonly latentFrames: number; readonly vae: VideoVaeConfig },
): Promise<GivenFrames> {
  const coded = async (frames: NdArray<'f32'>) => {
    const [count, C, H, W] = frames.shape as [number, number, number, number]
    const film = frames.permute([1, 0, 2, 3]).reshape([1, C, count, H, W])
    return (await coder.encodeMean(film)).mul(vae.scaling_factor).cast('f32')
  }
  const still = (picture: NdArray<'f32'>) => NdArray.concat(Array.from({ length: 1 + videoFactors(vae).time }, () => picture))
  const first = start && (await coded(start))
  const end = last && (await coded(still(last))).slice(2, 1)
  const begun = first?.shape[2] ?? 0
  const marks = Float32Array.from({ length: T }, (_, t) => (t < begun || (end && t === T - 1) ? 1 : 0))
  return {
    given: new NdArray(marks, [1, T], 'f32'),
    keep(x) {
      const middle = x.slice(2, begun, end ? T - 1 : T)
      return NdArray.concat([...(first ? [first] : []), middle, ...(end ? [end] : [])], 2).cast('f32')
    },
  }
}
