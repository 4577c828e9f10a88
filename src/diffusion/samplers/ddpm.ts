import type { NdArray } from '../../runtime/ndarray.ts'
import type { Generator } from '../../runtime/random.ts'
import { type Denoise, noiseSource, type Sampling } from '../denoiser.ts'
import { checkSigmas, type Level, levelOf, type Path, pairs, vp } from '../paths.ts'

/** The standard deviation of a reverse step between two levels: one number, or one an element. */
export type ReverseStd = (from: Level, to: Level) => number | NdArray

export interface DdpmOptions {
  readonly generator?: Generator
  readonly path?: Path
  readonly std?: ReverseStd
  /** Whether the last step adds its noise too; by default it returns the mean. */
  readonly noiseAtEnd?: boolean
}

/** Ancestral sampling: Ho et al. 2020, Algorithm 2, between any two levels of any path (Kingma et al. 2021, eqs. 25–33). */
export async function* ddpm(
  denoise: Denoise,
  x: NdArray,
  sigmas: readonly number[],
  { generator, path = vp, std = fixedSmall, noiseAtEnd = false }: DdpmOptions = {},
): Sampling {
  checkSigmas(sigmas, 'ddpm')
  const noise = noiseSource(generator, 'ddpm')
  for (const [i, [sigma, next]] of pairs(sigmas).entries()) {
    const [from, to] = [levelOf(path, sigma), levelOf(path, next)]
    const denoised = await denoise(x, sigma)
    yield { i, sigma, x, denoised }
    const shrink = from.alpha / to.alpha
    const kept = (next / sigma) ** 2
    x = denoised.mul((to.alpha * addedVariance(from, to)) / sigma ** 2).add(x.mul(shrink * kept))
    if (i < sigmas.length - 2 || noiseAtEnd) x = x.add(noise.randn(x.shape).mul(std(from, to)))
  }
  return x
}

/** Variance that the forward process adds between two levels, σ_t² − (α_t/α_s)² σ_s²; 1 − α_t on the discrete chain. */
export function addedVariance(from: Level, to: Level): number {
  return from.sigma ** 2 - ((from.alpha / to.alpha) * to.sigma) ** 2
}

/** √β̃_t: right when x0 is one known point (Ho et al. 2020, section 3.2). */
export const fixedSmall = (from: Level, to: Level): number => Math.sqrt(addedVariance(from, to)) * (to.sigma / from.sigma)

/** √β_t: right when x0 is standard normal (Ho et al. 2020, section 3.2). */
export const fixedLarge = (from: Level, to: Level): number => Math.sqrt(addedVariance(from, to))

/**
 * Between the two by a network's output v in [−1, 1]: σ² = exp(f·ln β + (1 − f)·ln β̃), f = (v + 1)/2
 * (Nichol and Dhariwal 2021, eq. 15). `read` gives the output of the last evaluation.
 */
export const learnedRange =
  (read: () => NdArray): ReverseStd =>
  (from, to) => {
    const small = Math.log(Math.max(fixedSmall(from, to), 1e-10))
    const large = Math.log(fixedLarge(from, to))
    const fraction = read().add(1).div(2)
    return fraction
      .mul(large - small)
      .add(small)
      .exp()
  }
