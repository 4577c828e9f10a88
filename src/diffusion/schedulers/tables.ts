import type { NdArray } from '../../runtime/ndarray.ts'
import { alphasCumprod, type BetaSchedule, betaSchedule, rescaleZeroTerminalSnr } from '../betas.ts'
import { dynamicThreshold } from '../predictions.ts'

// What the classes share: their tables of ᾱ, their bounds of the predicted data, the halves of a learned variance's output.

/** The options that define a table of betas. */
export const betaOptions = {
  num_train_timesteps: 1000,
  beta_start: 0.0001,
  beta_end: 0.02,
  beta_schedule: 'linear' as BetaSchedule,
  trained_betas: null as readonly number[] | null,
}

/** ᾱ of a config. */
export function alphaTable(options: typeof betaOptions, zeroSnr = false): Float32Array {
  const { num_train_timesteps: steps, beta_start: start, beta_end: end, trained_betas: trained } = options
  const betas = trained ? Float32Array.from(trained) : betaSchedule(options.beta_schedule, { steps, start, end })
  return alphasCumprod(zeroSnr ? rescaleZeroTerminalSnr(betas) : betas)
}

/** σ = √(1 − ᾱ) of a timestep on the variance-preserving path; beyond the table, the last value. */
export const vpSigma = (bars: Float32Array, t: number): number => Math.sqrt(1 - (bars[Math.min(t, bars.length - 1)] as number))

/** The options that bound the predicted data. */
export const clipOptions = {
  clip_sample: true,
  clip_sample_range: 1,
  thresholding: false,
  dynamic_thresholding_ratio: 0.995,
  sample_max_value: 1,
}

/** Thresholding goes before clipping, as in diffusers. */
export function clipper(options: typeof clipOptions): (data: NdArray) => NdArray {
  const { clip_sample_range: range, dynamic_thresholding_ratio: ratio, sample_max_value: max } = options
  if (options.thresholding) return (data) => dynamicThreshold(data, { ratio, max })
  return options.clip_sample ? (data) => data.clamp(-range, range) : (data) => data
}

/** [B, 2C, …] → the prediction and the variance, [B, C, …] each. */
export function halves(output: NdArray): [NdArray, NdArray] {
  const half = (output.shape[1] as number) / 2
  return [output.slice(1, 0, half), output.slice(1, half)]
}
