import type { NdArray } from '../../runtime/ndarray.ts'
import type { Generator } from '../../runtime/random.ts'
import { type Denoise, noiseSource, type Sampling } from '../denoiser.ts'
import { checkSigmas, type Level, levelOf, noiseIn, type Path, vp } from '../paths.ts'
import { fixedSmall } from './ddpm.ts'

export interface DdimOptions {
  /** 0 is deterministic, 1 has DDPM's variance. */
  readonly eta?: number
  readonly generator?: Generator
  readonly path?: Path
  /** Changes the predicted data but not the noise that goes on; a denoiser that clips changes both. */
  readonly clip?: (data: NdArray) => NdArray
  /** The noise in x; by default from the data, which has no answer at σ = 0. */
  readonly noiseOf?: (x: NdArray, data: NdArray, level: Level) => NdArray
  /** Where each step lands, when that is not the next level. */
  readonly targets?: readonly number[]
}

/**
 * Denoising diffusion implicit models: Song et al. 2021, eq. 12. Levels may also rise: that is the inversion, which encodes
 * data into the noise it would be sampled from (η = 0 only).
 */
export async function* ddim(
  denoise: Denoise,
  x: NdArray,
  sigmas: readonly number[],
  { eta = 0, generator, path = vp, clip = (data) => data, noiseOf = noiseIn, targets = sigmas.slice(1) }: DdimOptions = {},
): Sampling {
  checkSigmas([...sigmas.slice(0, targets.length), targets.at(-1) ?? NaN], 'ddim', 'any')
  const noise = eta > 0 ? noiseSource(generator, `ddim with eta ${eta}`) : undefined
  for (const [i, target] of targets.entries()) {
    const [from, to] = [levelOf(path, sigmas[i] as number), levelOf(path, target)]
    const data = await denoise(x, from.sigma)
    const denoised = clip(data)
    yield { i, sigma: from.sigma, x, denoised }
    const std = noise ? eta * fixedSmall(from, to) : 0
    const direction = noiseOf(x, data, from).mul(Math.sqrt(Math.max(0, to.sigma ** 2 - std ** 2)))
    x = denoised.mul(to.alpha).add(direction)
    if (noise) x = x.add(noise.randn(x.shape).mul(std))
  }
  return x
}
