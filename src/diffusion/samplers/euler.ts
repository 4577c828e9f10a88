import { ArgumentError } from '../../core/errors.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { Generator } from '../../runtime/random.ts'
import { type Denoise, noiseSource, type Sampling } from '../denoiser.ts'
import { checkSigmas, pairs, slope } from '../paths.ts'

/** Before a step: a state and level with a little noise added, or as they were. */
export type Perturb = (x: NdArray, sigma: number) => readonly [x: NdArray, sigma: number]

export interface Churn {
  /** Noise added over the whole run; each step multiplies σ by at most √2. */
  readonly amount: number
  /** Only levels between these are perturbed. */
  readonly min?: number
  readonly max?: number
  /** Scales the added noise. */
  readonly noise?: number
}

/** Raises σ to σ̂ = σ(1 + γ) with fresh noise (Karras et al. 2022, Algorithm 2, lines 4 to 6). `steps` is the whole run's. */
export function churned({ amount, min = 0, max = Infinity, noise = 1 }: Churn, steps: number, generator: Generator): Perturb {
  if (!(amount >= 0)) throw new ArgumentError(`churn: expected an amount ≥ 0, got ${amount}`)
  return (x, sigma) => {
    const gamma = sigma >= min && sigma <= max ? Math.min(amount / steps, Math.SQRT2 - 1) : 0
    if (gamma === 0) return [x, sigma]
    const raised = sigma * (1 + gamma)
    return [x.add(generator.randn(x.shape).mul(noise * Math.sqrt(raised ** 2 - sigma ** 2))), raised]
  }
}

const unchanged: Perturb = (x, sigma) => [x, sigma]

export interface EulerOptions {
  readonly perturb?: Perturb
}

/** Euler steps of the probability-flow ODE: Karras et al. 2022, Algorithm 2 without its correction. Paths `ve` and `flow`. */
export async function* euler(
  denoise: Denoise,
  x: NdArray,
  sigmas: readonly number[],
  { perturb = unchanged }: EulerOptions = {},
): Sampling {
  checkSigmas(sigmas, 'euler', 'not rising')
  for (const [i, [level, next]] of pairs(sigmas).entries()) {
    const [from, sigma] = perturb(x, level)
    const denoised = await denoise(from, sigma)
    yield { i, sigma, x: from, denoised }
    x = from.add(slope(from, denoised, sigma).mul(next - sigma))
  }
  return x
}

/** Heun's method, second order: Karras et al. 2022, Algorithm 2. Paths `ve` and `flow`. */
export async function* heun(
  denoise: Denoise,
  x: NdArray,
  sigmas: readonly number[],
  { perturb = unchanged }: EulerOptions = {},
): Sampling {
  checkSigmas(sigmas, 'heun')
  for (const [i, [level, next]] of pairs(sigmas).entries()) {
    const [from, sigma] = perturb(x, level)
    const denoised = await denoise(from, sigma)
    yield { i, sigma, x: from, denoised }
    const first = slope(from, denoised, sigma)
    x = from.add(first.mul(next - sigma))
    if (next > 0) {
      const second = slope(x, await denoise(x, next), next)
      x = from.add(first.add(second).mul((next - sigma) / 2))
    }
  }
  return x
}

/** The midpoint method in ln σ, second order: DPM-Solver-2 of Karras et al. 2022, Algorithm 3 (Lu et al. 2022). Path `ve`. */
export async function* dpm2(denoise: Denoise, x: NdArray, sigmas: readonly number[]): Sampling {
  checkSigmas(sigmas, 'dpm2')
  for (const [i, [sigma, next]] of pairs(sigmas).entries()) {
    const denoised = await denoise(x, sigma)
    yield { i, sigma, x, denoised }
    const first = slope(x, denoised, sigma)
    if (next === 0) x = x.add(first.mul(next - sigma))
    else {
      const middle = Math.sqrt(sigma * next)
      const half = x.add(first.mul(middle - sigma))
      x = x.add(slope(half, await denoise(half, middle), middle).mul(next - sigma))
    }
  }
  return x
}

export interface AncestralOptions {
  readonly generator?: Generator
  /** 0 is deterministic, 1 renews as much noise as DDPM. */
  readonly eta?: number
}

/** How far down a step goes and how much noise it adds to land on σ' (Song et al. 2021, eq. 47; k-diffusion). */
export function ancestralStep(sigma: number, next: number, eta = 1): { readonly down: number; readonly up: number } {
  const up = Math.min(next, eta * Math.sqrt((next ** 2 * (sigma ** 2 - next ** 2)) / sigma ** 2))
  return { up, down: Math.sqrt(Math.max(0, next ** 2 - up ** 2)) }
}

/** Euler steps down and noise back up: ancestral sampling of Song et al. 2021, appendix F, on the path `ve`. */
export async function* eulerAncestral(
  denoise: Denoise,
  x: NdArray,
  sigmas: readonly number[],
  { generator, eta = 1 }: AncestralOptions = {},
): Sampling {
  checkSigmas(sigmas, 'eulerAncestral')
  const noise = eta > 0 ? noiseSource(generator, 'eulerAncestral') : undefined
  for (const [i, [sigma, next]] of pairs(sigmas).entries()) {
    const denoised = await denoise(x, sigma)
    yield { i, sigma, x, denoised }
    const { up, down } = ancestralStep(sigma, next, eta)
    x = x.add(slope(x, denoised, sigma).mul(down - sigma))
    if (noise && next > 0) x = x.add(noise.randn(x.shape).mul(up))
  }
  return x
}

/** dpm2 down and noise back up (k-diffusion's ancestral form of Karras et al. 2022, Algorithm 3). Path `ve`. */
export async function* dpm2Ancestral(
  denoise: Denoise,
  x: NdArray,
  sigmas: readonly number[],
  { generator, eta = 1 }: AncestralOptions = {},
): Sampling {
  checkSigmas(sigmas, 'dpm2Ancestral')
  const noise = eta > 0 ? noiseSource(generator, 'dpm2Ancestral') : undefined
  for (const [i, [sigma, next]] of pairs(sigmas).entries()) {
    const denoised = await denoise(x, sigma)
    yield { i, sigma, x, denoised }
    const { up, down } = ancestralStep(sigma, next, eta)
    const first = slope(x, denoised, sigma)
    if (down === 0) x = x.add(first.mul(down - sigma))
    else {
      const middle = Math.sqrt(sigma * down)
      const half = x.add(first.mul(middle - sigma))
      x = x.add(slope(half, await denoise(half, middle), middle).mul(down - sigma))
      if (noise) x = x.add(noise.randn(x.shape).mul(up))
    }
  }
  return x
}
