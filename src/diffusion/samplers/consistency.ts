import type { NdArray } from '../../runtime/ndarray.ts'
import type { Generator } from '../../runtime/random.ts'
import { type Denoise, noiseSource, type Sampling } from '../denoiser.ts'
import { checkSigmas, levelOf, noiseIn, type Path, pairs, ve, vp } from '../paths.ts'
import { addedVariance } from './ddpm.ts'

export interface ConsistencyOptions {
  readonly generator?: Generator
  readonly path?: Path
  /** How much noise goes back on at a level; by default σ itself. */
  readonly renoise?: (sigma: number) => number
}

/**
 * Multistep consistency sampling: jump to the data, put fresh noise back on, jump again (Song et al. 2023, Algorithm 1; Luo et
 * al. 2023, Algorithm 3, with path `vp`). A single step is one jump.
 */
export async function* consistency(
  denoise: Denoise,
  x: NdArray,
  sigmas: readonly number[],
  { generator, path = ve, renoise = (sigma) => sigma }: ConsistencyOptions = {},
): Sampling {
  checkSigmas(sigmas, 'consistency')
  for (const [i, [sigma, next]] of pairs(sigmas).entries()) {
    const denoised = await denoise(x, sigma)
    yield { i, sigma, x, denoised }
    x = denoised.mul(path.alpha(next))
    const std = renoise(next)
    if (std > 0) x = x.add(noiseSource(generator, 'consistency').randn(x.shape).mul(std))
  }
  return x
}

export interface TcdOptions {
  readonly generator?: Generator
  readonly path?: Path
  /** The level each step jumps to before noise brings it up to the next one. */
  readonly landings: readonly number[]
}

/** Trajectory consistency: jump down along the trajectory, then noise back up (Zheng et al. 2024, Algorithm 4, γ-sampling). */
export async function* tcd(
  denoise: Denoise,
  x: NdArray,
  sigmas: readonly number[],
  { generator, path = vp, landings }: TcdOptions,
): Sampling {
  checkSigmas(sigmas, 'tcd')
  for (const [i, [sigma, next]] of pairs(sigmas).entries()) {
    const [from, low, to] = [levelOf(path, sigma), levelOf(path, landings[i] as number), levelOf(path, next)]
    const denoised = await denoise(x, sigma)
    yield { i, sigma, x, denoised }
    x = denoised.mul(low.alpha).add(noiseIn(x, denoised, from).mul(low.sigma))
    const added = addedVariance(to, low)
    if (added > 0 && i < sigmas.length - 2)
      x = x.mul(to.alpha / low.alpha).add(noiseSource(generator, 'tcd').randn(x.shape).mul(Math.sqrt(added)))
  }
  return x
}
