import { ArgumentError } from '../core/errors.ts'
import { type Path, ve, vp } from './paths.ts'

/** sub-VP: α² + σ = 1, so the variance stays below that of `vp` (Song et al. 2021, section 3.4). */
export const subVp: Path = { name: 'sub-vp', alpha: (sigma) => Math.sqrt(1 - sigma) }

/** A diffusion in continuous time, t from 0 (data) to 1 (noise): dx = f(t)x dt + g(t)dw. */
export interface Sde {
  readonly path: Path
  /** The standard deviation of the noise at t. */
  readonly sigma: (t: number) => number
  /** f(t) of the drift f(t)·x. */
  readonly drift: (t: number) => number
  /** g(t)². */
  readonly diffusion: (t: number) => number
}

/** Variance exploding: σ(t) = min·(max/min)^t (Song et al. 2021, eq. 30; SMLD). */
export function veSde({ min = 0.01, max = 50 } = {}): Sde {
  const sigma = (t: number) => min * (max / min) ** t
  return { path: ve, sigma, drift: () => 0, diffusion: (t) => 2 * sigma(t) ** 2 * Math.log(max / min) }
}

/** ∫₀ᵗ β for β(t) = min + t(max − min). */
const betaIntegral = (t: number, min: number, max: number) => min * t + ((max - min) * t * t) / 2

/** Variance preserving (Song et al. 2021, eq. 32; DDPM's limit). */
export function vpSde({ min = 0.1, max = 20 } = {}): Sde {
  const beta = (t: number) => min + t * (max - min)
  return {
    path: vp,
    sigma: (t) => Math.sqrt(-Math.expm1(-betaIntegral(t, min, max))),
    drift: (t) => -beta(t) / 2,
    diffusion: beta,
  }
}

/** sub-VP (Song et al. 2021, eq. 34): the same mean, std 1 − e^(−∫β), g² = β(1 − e^(−2∫β)). */
export function subVpSde({ min = 0.1, max = 20 } = {}): Sde {
  const beta = (t: number) => min + t * (max - min)
  return {
    path: subVp,
    sigma: (t) => -Math.expm1(-betaIntegral(t, min, max)),
    drift: (t) => -beta(t) / 2,
    diffusion: (t) => -beta(t) * Math.expm1(-2 * betaIntegral(t, min, max)),
  }
}

/** Noise levels of an SDE at even times from 1 down to `end`, for samplers over σ. */
export function sdeSigmas(sde: Sde, steps: number, end = 1e-3): number[] {
  if (!(Number.isInteger(steps) && steps >= 1)) throw new ArgumentError(`steps: expected a whole number ≥ 1, got ${steps}`)
  return Array.from({ length: steps + 1 }, (_, i) => sde.sigma(1 + (i / steps) * (end - 1)))
}
