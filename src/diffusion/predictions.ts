import { ArgumentError } from '../core/errors.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import type { Denoise } from './denoiser.ts'
import { type Level, levelOf, type Path } from './paths.ts'

/**
 * What a network was taught to give, for x = αx0 + σε: the noise ε, the data x0, v = αε − σx0 (Salimans and Ho 2022),
 * the flow ε − x0 (Lipman et al. 2023), or the score −ε/σ (Song et al. 2021).
 */
export type Prediction = 'epsilon' | 'sample' | 'v_prediction' | 'flow_prediction' | 'score'

/** The clean data that a prediction stands for. `x` and `output` have one shape. Any path, except that 'v_prediction' needs α² + σ² = 1. */
export function toData(prediction: Prediction, output: NdArray, x: NdArray, { alpha, sigma }: Level): NdArray {
  switch (prediction) {
    case 'sample':
      return output
    case 'epsilon':
      return x.sub(output.mul(sigma)).div(alpha)
    case 'v_prediction':
      return x.mul(alpha).sub(output.mul(sigma))
    case 'flow_prediction':
      return x.sub(output.mul(sigma)).div(alpha + sigma)
    case 'score':
      return x.add(output.mul(sigma * sigma)).div(alpha)
  }
}

/** The noise that a prediction stands for; `output` and `x` as in toData. */
export function toNoise(prediction: Prediction, output: NdArray, x: NdArray, { alpha, sigma }: Level): NdArray {
  switch (prediction) {
    case 'sample':
      return x.sub(output.mul(alpha)).div(sigma)
    case 'epsilon':
      return output
    case 'v_prediction':
      return output.mul(alpha).add(x.mul(sigma))
    case 'flow_prediction':
      return x.add(output.mul(alpha)).div(alpha + sigma)
    case 'score':
      return output.mul(-sigma)
  }
}

/** What the network should have given for known data and noise: the regression target of training. */
export function targetOf(prediction: Prediction, data: NdArray, noise: NdArray, { alpha, sigma }: Level): NdArray {
  switch (prediction) {
    case 'sample':
      return data
    case 'epsilon':
      return noise
    case 'v_prediction':
      return noise.mul(alpha).sub(data.mul(sigma))
    case 'flow_prediction':
      return noise.sub(data)
    case 'score':
      return noise.div(-sigma)
  }
}

/** A network that predicts something else, as a denoiser on a path. It is called with x and σ as they are. */
export const denoiserFrom =
  (prediction: Prediction, predict: Denoise, path: Path): Denoise =>
  async (x, sigma) =>
    toData(prediction, await predict(x, sigma), x, levelOf(path, sigma))

/** Clips the predicted data to ±limit: for pixels in [−1, 1] (Ho et al. 2020). */
export const clipped =
  (denoise: Denoise, limit = 1): Denoise =>
  async (x, sigma) =>
    (await denoise(x, sigma)).clamp(-limit, limit)

/** Dynamic thresholding of the predicted data (Saharia et al. 2022, section 2.3). */
export const thresholded =
  (denoise: Denoise, options?: ThresholdOptions): Denoise =>
  async (x, sigma) =>
    dynamicThreshold(await denoise(x, sigma), options)

export interface ThresholdOptions {
  /** Which quantile of |x0| sets the limit. */
  readonly ratio?: number
  /** The limit is at least 1 and at most this. */
  readonly max?: number
}

/** [B, …]: clips every sample to its own quantile s = min(max(|x0|_ratio, 1), max) and divides by s. */
export function dynamicThreshold(data: NdArray, { ratio = 0.995, max = Infinity }: ThresholdOptions = {}): NdArray {
  if (max < 1) throw new ArgumentError(`dynamicThreshold: expected max ≥ 1, got ${max}`)
  const axes = data.shape.map((_, i) => i).slice(1)
  const s = data.abs().quantile(ratio, { axes, keep: true }).clamp(1, max)
  return data.maximum(s.neg()).minimum(s).div(s)
}
