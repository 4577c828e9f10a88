import { extrapolate, rescaled } from '../../diffusion/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'

/** What becomes of the outputs of a batch's entries: [R, C, …] → the prediction [1, C', …]. */
export type Combine = (output: NdArray<'f32'>) => NdArray

/** Guided prediction of the batch [unguided, guided]: Ho and Salimans 2022; `rescale` as Lin et al. 2024. One entry is unguided. */
export const guidedBy =
  (scale: number, rescale = 0): Combine =>
  (output) => {
    if (output.shape[0] === 1) return output
    const [negative, positive] = [output.slice(0, 0, 1), output.slice(0, 1, 2)]
    return rescaled(extrapolate(positive, negative, scale), positive, rescale)
  }
