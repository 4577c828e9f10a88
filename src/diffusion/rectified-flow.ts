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

/**
 * The training time at a share u of its density, 0 < u < 1: what is drawn evenly in u has that density. The order of times is the
 * density's own: those of "mode" fall.
 */
export function timeAt(density: TimeDensity, u: number): number {
  switch (density.kind) {
    case 'uniform': {
      const { min = 0, max = 1 } = density
      return min + (max - min) * u
    }
    case 'logit-normal': {
      const { mean = 0, std = 1 } = density
      return 1 / (1 + Math.exp(-(mean + std * normalQuantile(u))))
    }
    case 'mode':
      return modeTime(u, density.scale)
    case 'cosmap':
      return 1 - 1 / (Math.tan((Math.PI / 2) * u) + 1)
    case 'log-normal': {
      const { mean = -1.2, std = 1.2 } = density
      return Math.exp(mean + std * normalQuantile(u))
    }
  }
}

/** Acklam's rational approximations of the normal distribution's quantiles: in the middle, and in its tails. Off by 1.2e-9 of the value at most. */
const middle = {
  over: [-39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716, 2.506628277459239],
  under: [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572, 1],
}
const tail = {
  over: [
    -0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968, 2.938163982698783,
  ],
  under: [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416, 1],
}
const TAIL = 0.02425
const polynomial = (factors: readonly number[], x: number): number => factors.reduce((sum, factor) => sum * x + factor, 0)

/** The z below which a share u of a standard normal distribution lies, 0 < u < 1. */
function normalQuantile(u: number): number {
  if (u > 0.5) return -normalQuantile(1 - u)
  if (u < TAIL) {
    const q = Math.sqrt(-2 * Math.log(u))
    return polynomial(tail.over, q) / polynomial(tail.under, q)
  }
  const q = u - 0.5
  return (q * polynomial(middle.over, q * q)) / polynomial(middle.under, q * q)
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
