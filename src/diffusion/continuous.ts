import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { Denoise } from './denoiser.ts'
import { type Level, levelOf, vp } from './paths.ts'
import { type Prediction, targetOf, toData } from './predictions.ts'

/** How noise grows with a continuous time from 0, the data, to 1: the signal's share √ᾱ, and its time again. */
export interface ContinuousSchedule {
  /** √ᾱ at a time; it falls. */
  alpha(t: number): number
  /** The time at which √ᾱ has this value. */
  timeOf(alpha: number): number
}

/** ᾱ = cos²((t + s)/(1 + s) · π/2) over its value at 0 (Nichol and Dhariwal 2021, eq. 17), at any time. */
export function cosineTime(offset = 0.008): ContinuousSchedule {
  const quarter = Math.PI / 2 / (1 + offset)
  const first = Math.cos(offset * quarter)
  return {
    alpha: (t) => Math.max(0, Math.cos((t + offset) * quarter)) / first,
    timeOf: (alpha) => Math.min(1, Math.max(0, Math.acos(Math.min(1, alpha * first)) / quarter - offset)),
  }
}

/** ᾱ = exp(−10⁻⁴ − 10t²): DDPM's linear betas in continuous time (Kingma et al. 2021, appendix; imagen-pytorch's `linear`). */
export const linearTime: ContinuousSchedule = {
  alpha: (t) => Math.exp(-(1e-4 + 10 * t * t) / 2),
  timeOf: (alpha) => Math.sqrt(Math.min(1, Math.max(0, (-2 * Math.log(Math.max(alpha, 1e-12)) - 1e-4) / 10))),
}

/**
 * Gaussian diffusion in continuous time (Kingma et al. 2021; Saharia et al. 2022): x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε at any t of [0, 1], so
 * that a network is trained on all levels and sampled on whichever. Samples are [B, …] and every sample has its own time.
 */
export class ContinuousDiffusion {
  readonly schedule: ContinuousSchedule

  constructor(schedule: ContinuousSchedule = cosineTime()) {
    this.schedule = schedule
  }

  /** The level of a time on the variance-preserving path. @throws ArgumentError for a time outside [0, 1] */
  level(t: number): Level {
    if (!(t >= 0 && t <= 1)) throw new ArgumentError(`time ${t} is outside 0 … 1`)
    return levelOf(vp, Math.sqrt(Math.max(0, 1 - this.schedule.alpha(t) ** 2)))
  }

  /** The time of a level of that path. */
  timeOf(sigma: number): number {
    return this.schedule.timeOf(vp.alpha(sigma))
  }

  addNoise(data: NdArray, noise: NdArray, times: readonly number[]): NdArray<'f32'> {
    return noisedTo(
      data,
      noise,
      times.map((t) => this.level(t)),
    )
  }

  /** What the network should give at its samples' times. */
  target(prediction: Prediction, data: NdArray, noise: NdArray, times: readonly number[]): NdArray {
    return NdArray.concat(
      times.map((t, i) => targetOf(prediction, data.slice(0, i, i + 1), noise.slice(0, i, i + 1), this.level(t))),
    )
  }

  /** σ for a sampler of so many steps, from time `from` to time `to`, evenly in time, falling. */
  levels(steps: number, { from = 1, to = 0 }: { readonly from?: number; readonly to?: number } = {}): number[] {
    if (!(Number.isInteger(steps) && steps >= 1)) throw new ArgumentError(`levels: expected at least 1 step, got ${steps}`)
    return Array.from({ length: steps + 1 }, (_, i) => this.level(from + ((to - from) * i) / steps).sigma)
  }

  /** A network that is told times, as a denoiser that samplers take. */
  denoiser(prediction: Prediction, predict: (x: NdArray, t: number) => Promise<NdArray> | NdArray): Denoise {
    return async (x, sigma) => toData(prediction, await predict(x, this.timeOf(sigma)), x, levelOf(vp, sigma))
  }
}

/** αx + σε, every sample to a level of its own: data, noise [B, …]. */
export function noisedTo(data: NdArray, noise: NdArray, levels: readonly Pick<Level, 'alpha' | 'sigma'>[]): NdArray<'f32'> {
  const shape = [levels.length, ...new Array<number>(data.shape.length - 1).fill(1)]
  if (data.shape[0] !== levels.length)
    throw new ArgumentError(`expected one level a sample: ${levels.length} for ${data.shape[0]} samples`)
  const column = (of: 'alpha' | 'sigma') => NdArray.from(levels.map((level) => level[of])).reshape(shape)
  return data.mul(column('alpha')).add(noise.mul(column('sigma')))
}
