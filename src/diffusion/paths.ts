import { ArgumentError } from '../core/errors.ts'
import type { NdArray } from '../runtime/ndarray.ts'

// How data and noise mix, and the levels of a path.

/** How data and noise mix: x = alpha(σ)·x0 + σ·ε. */
export interface Path {
  readonly name: 've' | 'vp' | 'sub-vp' | 'flow'
  readonly alpha: (sigma: number) => number
}
/** Variance exploding: x = x0 + σε (Karras et al. 2022; Song et al. 2021, SMLD). */
export const ve: Path = { name: 've', alpha: () => 1 }
/** Variance preserving: α² + σ² = 1 (Ho et al. 2020). σ runs from 0 to 1. */
export const vp: Path = { name: 'vp', alpha: (sigma) => Math.sqrt((1 - sigma) * (1 + sigma)) }
/** Straight lines: x = (1 − σ)x0 + σε (Liu et al. 2023; Lipman et al. 2023). σ runs from 0 to 1. */
export const flow: Path = { name: 'flow', alpha: (sigma) => 1 - sigma }

/** A noise level on a path; `lambda` is half the log signal-to-noise ratio, ln(α/σ). */
export interface Level {
  readonly sigma: number
  readonly alpha: number
  readonly lambda: number
}
export function levelOf(path: Path, sigma: number): Level {
  const alpha = path.alpha(sigma)
  return { sigma, alpha, lambda: Math.log(alpha) - Math.log(sigma) }
}

/** σ of a path where σ/α has a given value: the level of the `ve` form that has the same signal-to-noise ratio. */
export function sigmaFromRatio(path: Path, ratio: number): number {
  const square = ratio * ratio
  switch (path.name) {
    case 've':
      return ratio
    case 'vp':
      return ratio / Math.sqrt(1 + square)
    case 'sub-vp':
      return (2 * ratio) / (ratio + Math.sqrt(square + 4))
    case 'flow':
      return ratio / (1 + ratio)
  }
}

/** Every level with the next: [a, b, c] → [a, b], [b, c]. */
export function pairs(sigmas: readonly number[]): [number, number][] {
  return sigmas.slice(1).map((next, i) => [sigmas[i] as number, next])
}

/** Noise levels for a sampler: at least two, finite, none negative, in order. */
export function checkSigmas(
  sigmas: readonly number[],
  sampler: string,
  order: 'falling' | 'not rising' | 'any' = 'falling',
): void {
  if (sigmas.length < 2) throw new ArgumentError(`${sampler}: expected at least 2 noise levels (1 step), got ${sigmas.length}`)
  for (const [i, sigma] of sigmas.entries()) {
    if (!Number.isFinite(sigma) || sigma < 0)
      throw new ArgumentError(`${sampler}: sigmas[${i}] is ${sigma}; expected ≥ 0 and finite`)
    const before = sigmas[i - 1] ?? Infinity
    if (order !== 'any' && (sigma > before || (sigma === before && order === 'falling')))
      throw new ArgumentError(`${sampler}: sigmas must fall, but sigmas[${i - 1}] is ${before} and sigmas[${i}] is ${sigma}`)
  }
}

/** The noise in x, (x − α·x0)/σ. No answer at σ = 0. */
export function noiseIn(x: NdArray, denoised: NdArray, { alpha, sigma }: Level): NdArray {
  return x.sub(denoised.mul(alpha)).div(sigma)
}

/** dx/dσ of the probability-flow ODE on `ve` and of the straight flow: (x − x0)/σ (Karras et al. 2022, eq. 3). */
export function slope(x: NdArray, denoised: NdArray, sigma: number): NdArray {
  return x.sub(denoised).div(sigma)
}
