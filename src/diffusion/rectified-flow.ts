import { ArgumentError } from '../core/errors.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import type { TimeDensity } from './losses.ts'
import { targetOf } from './predictions.ts'
import { shiftSigma } from './sigmas.ts'

// Training of rectified flows: which times are drawn how often, how they are shifted, and how the squared error is weighed.

/** The largest scale at which "mode" still has one time for every u (Esser et al. 2024, section 3.1). */
const steepest = 2 / (Math.PI - 2)

/** t(u) = 1 − u − s(cos²(πu/2) − 1 + u), falling from 1 to 0. */
const modeTime = (u: number, scale: number) => 1 - u - scale * (Math.cos((Math.PI / 2) * u) ** 2 - 1 + u)

/** The density of training times at t: of each `TimeDensity`, what a histogram of `drawTimes` tends to. 0 outside its range. */
export function timeDensity(density: TimeDensity, t: number): number {
  const bell = (z: number, mean: number, std: number) => Math.exp(-(((z - mean) / std) ** 2) / 2) / (std * Math.sqrt(2 * Math.PI))
  switch (density.kind) {
    case 'uniform': {
      const { min = 0, max = 1 } = density
      return t >= min && t <= max ? 1 / (max - min) : 0
    }
    case 'logit-normal': {
      const { mean = 0, std = 1 } = density
      return t > 0 && t < 1 ? bell(Math.log(t / (1 - t)), mean, std) / (t * (1 - t)) : 0
    }
    case 'mode': {
      const { scale } = density
      if (!(scale >= -1 && scale <= steepest))
        throw new ArgumentError(`mode: scale is ${scale}; expected −1 … ${steepest.toFixed(3)}, where times follow from u alone`)
      if (!(t >= 0 && t <= 1)) return 0
      let [low, high] = [0, 1]
      for (let i = 0; i < 60; i++) {
        const middle = (low + high) / 2
        if (modeTime(middle, scale) > t) low = middle
        else high = middle
      }
      return 1 / Math.abs(-1 - scale * (1 - (Math.PI / 2) * Math.sin(Math.PI * low)))
    }
    case 'cosmap':
      return t >= 0 && t <= 1 ? 2 / (Math.PI * (1 - 2 * t + 2 * t * t)) : 0
    case 'log-normal': {
      const { mean = -1.2, std = 1.2 } = density
      return t > 0 ? bell(Math.log(t), mean, std) / t : 0
    }
  }
}

/** How SD3's trainers weigh ‖v − v̂‖² at a level; 'logit_normal' and 'mode' weigh by how often they draw, so 1 as 'none'. */
export type FlowWeighting = 'none' | 'logit_normal' | 'mode' | 'sigma_sqrt' | 'cosmap'

/** The weight of the squared error at σ, as diffusers' `compute_loss_weighting_for_sd3` (Esser et al. 2024, section 3.1). */
export function flowWeight(weighting: FlowWeighting, sigma: number): number {
  switch (weighting) {
    case 'none':
    case 'logit_normal':
    case 'mode':
      return 1
    case 'sigma_sqrt':
      return sigma ** -2
    case 'cosmap':
      return 2 / (Math.PI * (1 - 2 * sigma + 2 * sigma ** 2))
  }
}

/** Training times moved towards the noise as high resolutions need (Esser et al. 2024, eq. 23): [B] → [B]. */
export const shiftTimes = (times: NdArray, shift: number): NdArray => times.map((t) => shiftSigma(t, shift))

/** What a flow's network sees and should give: x = (1 − t)x0 + tε and ε − x0, with a time per sample; x0, ε [B, …], t [B]. */
export function flowPair(data: NdArray, noise: NdArray, times: NdArray): { readonly x: NdArray; readonly target: NdArray } {
  const size = data.shape[0] as number
  if (times.shape.length !== 1 || times.shape[0] !== size)
    throw new ArgumentError(`flowPair: expected a time for each of ${size} samples, got [${times.shape.join(', ')}]`)
  const t = times.reshape([size, ...data.shape.slice(1).map(() => 1)])
  const target = targetOf('flow_prediction', data, noise, { alpha: 0, sigma: 1, lambda: -Infinity })
  return { x: data.add(target.mul(t)), target }
}
