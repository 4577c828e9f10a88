import { extrapolate, type ModelCall, rescaled } from '../../diffusion/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'

/** What becomes of the outputs of a batch's entries at a timestep: [R, C, …] → the prediction [1, C', …]. */
export type Combine = (output: NdArray<'f32'>, t?: number, at?: ModelCall) => NdArray

const entry = (output: NdArray<'f32'>, i: number) => output.slice(0, i, i + 1)

/** Guided prediction of the batch [unguided, guided]: Ho and Salimans 2022; `rescale` as Lin et al. 2024. One entry is unguided. */
export const guidedBy =
  (scale: number, rescale = 0): Combine =>
  (output) => {
    if (output.shape[0] === 1) return output
    const [negative, positive] = [output.slice(0, 0, 1), output.slice(0, 1, 2)]
    return rescaled(extrapolate(positive, negative, scale), positive, rescale)
  }

/**
 * As `guidedBy`, of outputs with variances behind the prediction's channels: those of the last entry stay as they are (Nichol et al.
 * 2021, section 3.2), for schedulers that read them.
 */
export const guidedWithVariances =
  (scale: number, channels: number): Combine =>
  (output) => {
    const last = output.shape[0] as number
    const variances = output.slice(0, last - 1, last).slice(1, channels)
    return NdArray.concat([guidedBy(scale)(output.slice(1, 0, channels)), variances], 1)
  }

/**
 * Guided prediction of the batch [unguided, one entry each of several prompts]: u + s Σ wₖ(cₖ − u), as AUTOMATIC1111's AND and Liu et
 * al. 2022b, eq. 11; `rescale` after their weighted sum's deviation.
 */
export const composedBy =
  (scale: number, weights: readonly number[], rescale = 0): Combine =>
  (output) => {
    const none = entry(output, 0)
    const differences = weights.map((weight, k) =>
      entry(output, k + 1)
        .sub(none)
        .mul(weight),
    )
    const sum = differences.reduce((a, b) => a.add(b))
    return rescaled(none.add(sum.mul(scale)), none.add(sum), rescale)
  }

/**
 * Perturbed-attention guidance of the batch [unguided, guided, perturbed] or, unguided, [plain, perturbed]: u + s(c − u) + p(c − ĉ)
 * (Ahn et al. 2024, eq. 15).
 *
 * @param perturbed p, at a timestep
 */
export const perturbedBy =
  (scale: number, perturbed: (t: number) => number, rescale = 0): Combine =>
  (output, t = 0) => {
    const three = output.shape[0] === 3
    const [c, worse] = three ? [entry(output, 1), entry(output, 2)] : [entry(output, 0), entry(output, 1)]
    const guided = three ? extrapolate(c, entry(output, 0), scale) : c
    return rescaled(guided.add(c.sub(worse).mul(perturbed(t))), c, three ? rescale : 0)
  }
