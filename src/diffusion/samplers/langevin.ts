import { ArgumentError } from '../../core/errors.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { Generator } from '../../runtime/random.ts'
import type { Denoise, Sampling } from '../denoiser.ts'
import { checkSigmas, type Level, levelOf, type Path, pairs, ve } from '../paths.ts'
import { addedVariance, fixedSmall } from './ddpm.ts'

/** ∇ ln p(x) = (α·E[x0|x] − x)/σ² (Tweedie's formula). */
export function scoreFrom(x: NdArray, denoised: NdArray, { alpha, sigma }: Level): NdArray {
  return denoised
    .mul(alpha)
    .sub(x)
    .div(sigma * sigma)
}

export interface AnnealedLangevinOptions {
  readonly generator: Generator
  /** Langevin steps at every level. */
  readonly steps?: number
  /** Step size at the last level; at others times (σ/σ_last)². */
  readonly stepSize?: number
  /** Ends with a jump to the denoised sample, as NCSNv2 does. */
  readonly denoiseLast?: boolean
}

/** Annealed Langevin dynamics: Song and Ermon 2019, Algorithm 1; with the last jump, Song and Ermon 2020, Algorithm 1. */
export async function* annealedLangevin(
  denoise: Denoise,
  x: NdArray,
  sigmas: readonly number[],
  { generator, steps = 5, stepSize = 6.2e-6, denoiseLast = true }: AnnealedLangevinOptions,
): Sampling {
  checkSigmas(sigmas, 'annealedLangevin')
  const last = sigmas.at(-1) as number
  if (last === 0) throw new ArgumentError('annealedLangevin: the last level must be above 0; leave the final 0 out')
  for (const [i, sigma] of sigmas.entries()) {
    const step = stepSize * (sigma / last) ** 2
    for (let k = 0; k < steps; k++) {
      const denoised = await denoise(x, sigma)
      if (k === 0) yield { i, sigma, x, denoised }
      const score = scoreFrom(x, denoised, levelOf(ve, sigma))
      x = x.add(score.mul(step)).add(generator.randn(x.shape).mul(Math.sqrt(2 * step)))
    }
  }
  return denoiseLast ? denoise(x, last) : x
}

/** Batch-mean norm of the samples. */
const meanNorm = (x: NdArray): number => {
  const axes = x.shape.map((_, i) => i).slice(1)
  return x.norm({ axes }).mean().item()
}

/** One Langevin step with its size set by the signal-to-noise ratio: Song et al. 2021, Algorithms 4 and 5. */
export async function langevinCorrector(
  denoise: Denoise,
  x: NdArray,
  level: Level,
  { generator, snr }: { readonly generator: Generator; readonly snr: number },
): Promise<NdArray> {
  const score = scoreFrom(x, await denoise(x, level.sigma), level)
  const noise = generator.randn(x.shape)
  const step = 2 * ((snr * meanNorm(noise)) / meanNorm(score)) ** 2
  return x.add(score.mul(step)).add(noise.mul(Math.sqrt(2 * step)))
}

export interface PredictorCorrectorOptions {
  readonly generator: Generator
  readonly path?: Path
  readonly predictor?: 'reverse-diffusion' | 'ancestral' | 'none'
  /** Langevin steps before each predictor step; 0 for none. */
  readonly corrections?: number
  readonly snr?: number
  /** Applied after the corrector and after the predictor, to the state and to its noise-free mean. */
  readonly constrain?: (x: NdArray, level: Level) => NdArray
}

/**
 * Predictor–corrector sampling of any path's SDE: Song et al. 2021, Algorithm 1 with its appendix E (reverse diffusion) and F
 * (ancestral) predictors. At each level the corrector goes first, as in the reference; the mean of the last step is returned.
 */
export async function* predictorCorrector(
  denoise: Denoise,
  x: NdArray,
  sigmas: readonly number[],
  options: PredictorCorrectorOptions,
): Sampling {
  checkSigmas(sigmas, 'predictorCorrector')
  const { generator, path = ve, predictor = 'reverse-diffusion', corrections = 1, snr = 0.16, constrain = (s) => s } = options
  let mean = x
  for (const [i, [sigma, next]] of pairs(sigmas).entries()) {
    const [from, to] = [levelOf(path, sigma), levelOf(path, next)]
    for (let k = 0; k < corrections; k++) x = constrain(await langevinCorrector(denoise, x, from, { generator, snr }), from)
    const denoised = await denoise(x, sigma)
    yield { i, sigma, x, denoised }
    mean = x
    if (predictor === 'none') continue
    const added = addedVariance(from, to)
    const ratio = from.alpha / to.alpha
    const score = scoreFrom(x, denoised, from)
    const drift = predictor === 'ancestral' ? x.div(ratio) : x.mul(2 - ratio)
    mean = drift.add(score.mul(predictor === 'ancestral' ? added / ratio : added))
    const std = predictor === 'ancestral' ? fixedSmall(from, to) : Math.sqrt(added)
    const noise = generator.randn(x.shape)
    x = constrain(mean.add(noise.mul(std)), to)
    mean = constrain(mean, to)
  }
  return mean
}
