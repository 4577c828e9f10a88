import { ArgumentError } from '../../core/errors.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { Denoise, Sampling } from '../denoiser.ts'
import { checkSigmas, type Level, levelOf, noiseIn, type Path, pairs, slope, vp } from '../paths.ts'
import { combine, lagrange } from './exponential.ts'

/** Adams–Bashforth weights for evenly spaced steps, newest first. */
const adamsBashforth = [[1], [3 / 2, -1 / 2], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24]] as const

/** Carries x from one level to another along a predicted noise: the DDIM step (Song et al. 2021; Liu et al. 2022, eq. 11). */
export function transfer(x: NdArray, noise: NdArray, from: Level, to: Level): NdArray {
  const data = x.sub(noise.mul(from.sigma)).div(Math.max(from.alpha, 1e-8))
  return data.mul(to.alpha).add(noise.mul(to.sigma))
}

const weighted = (weights: readonly number[], outputs: readonly NdArray[]) =>
  combine({ keep: weights[0] as number, use: weights.slice(1), noise: 0 }, outputs[0] as NdArray, outputs.slice(1))

export interface LmsOptions {
  readonly order?: number
  /**
   * Levels that a late start left out. diffusers counts them in the order of the first steps and, as it knows no slopes there,
   * leaves their terms out.
   */
  readonly before?: readonly number[]
}

/**
 * Linear multistep, `sample_lms` of k-diffusion: explicit Adams with the exact weights of uneven steps (Hairer, Nørsett and Wanner
 * 1993, section III.5) on the ODE of Karras et al. 2022, eq. 3. Path `ve`.
 */
export async function* lms(
  denoise: Denoise,
  x: NdArray,
  sigmas: readonly number[],
  { order = 4, before = [] }: LmsOptions = {},
): Sampling {
  checkSigmas(sigmas, 'lms')
  if (!(Number.isInteger(order) && order >= 1)) throw new ArgumentError(`lms: order is ${order}; expected a whole number ≥ 1`)
  const all = [...before, ...sigmas]
  const slopes: NdArray[] = []
  for (const [i, [sigma, next]] of pairs(sigmas).entries()) {
    const denoised = await denoise(x, sigma)
    yield { i, sigma, x, denoised }
    slopes.unshift(slope(x, denoised, sigma))
    slopes.splice(order)
    const newest = before.length + i
    const levels = all.slice(Math.max(0, newest + 1 - order), newest + 1).reverse()
    const places = levels.map((level) => (level - sigma) / (next - sigma))
    const weights = lagrange(places).slice(0, slopes.length)
    const use = weights.map((row) => (next - sigma) * row.reduce((sum, a, k) => sum + a / (k + 1), 0))
    x = combine({ keep: 1, use, noise: 0 }, x, slopes)
  }
  return x
}

/**
 * Improved pseudo-numerical steps: Adams–Bashforth on the noise (Liu et al. 2022, eqs. 11 and 12), of a lower order in the first
 * steps rather than after Runge–Kutta ones (Zhang and Chen 2023, iPNDM).
 */
export async function* ipndm(denoise: Denoise, x: NdArray, sigmas: readonly number[], { path = vp, order = 4 } = {}): Sampling {
  checkSigmas(sigmas, 'ipndm')
  if (!(Number.isInteger(order) && order >= 1 && order <= adamsBashforth.length))
    throw new ArgumentError(`ipndm: order is ${order}; expected 1, 2, 3 or 4`)
  const noises: NdArray[] = []
  for (const [i, [sigma, next]] of pairs(sigmas).entries()) {
    const [from, to] = [levelOf(path, sigma), levelOf(path, next)]
    const denoised = await denoise(x, sigma)
    yield { i, sigma, x, denoised }
    noises.unshift(noiseIn(x, denoised, from))
    noises.splice(order)
    x = transfer(x, weighted(adamsBashforth[noises.length - 1] as readonly number[], noises), from, to)
  }
  return x
}

export interface PndmOptions {
  readonly path?: Path
  /** How the first steps get their history: Runge–Kutta (3 steps of 4 evaluations), a corrected Euler step (2), or not. */
  readonly start?: 'runge-kutta' | 'euler' | 'none'
  /** What is extrapolated: the noise, or v = (αx − x0)/σ. */
  readonly along?: 'noise' | 'velocity'
  /** Where each step lands, when that is not the next level. */
  readonly targets?: readonly number[]
  /** The levels halfway of the first three steps, for Runge–Kutta: where the state is taken, and taken again. */
  readonly middles?: readonly (readonly [number, number])[]
  /** From where to where the corrected Euler step goes, when that is not the first step. */
  readonly corrected?: readonly [number, number]
}

/** PNDM: Liu et al. 2022, Algorithm 2 (Runge–Kutta start) and its F-PNDM form PLMS (Euler start, as Stable Diffusion uses). */
export async function* pndm(denoise: Denoise, x: NdArray, sigmas: readonly number[], options: PndmOptions = {}): Sampling {
  checkSigmas(sigmas, 'pndm', 'any')
  const { path = vp, start = 'runge-kutta', along = 'noise', targets = sigmas.slice(1), middles = [], corrected } = options
  const read = along === 'noise' ? noiseIn : (at: NdArray, d: NdArray, l: Level) => at.mul(l.alpha).sub(d).div(l.sigma)
  const carry = (at: NdArray, output: NdArray, from: Level, to: Level) =>
    transfer(at, along === 'noise' ? output : output.mul(from.alpha).add(at.mul(from.sigma)), from, to)
  const history: NdArray[] = []
  for (const [i, target] of targets.entries()) {
    const [from, to] = [levelOf(path, sigmas[i] as number), levelOf(path, target)]
    const denoised = await denoise(x, from.sigma)
    yield { i, sigma: from.sigma, x, denoised }
    const first = read(x, denoised, from)
    history.unshift(first)
    history.splice(4)
    const outputAt = async (level: Level, output: NdArray, seen = level) => {
      const there = carry(x, output, from, level)
      return read(there, await denoise(there, seen.sigma), seen)
    }
    if (start === 'euler' && i === 0) {
      const [again, landing] = corrected ?? [from.sigma, to.sigma]
      const mean = first.add(await outputAt(to, first, levelOf(path, landing))).div(2)
      x = carry(x, mean, levelOf(path, again), levelOf(path, landing))
    } else if (start === 'runge-kutta' && i < 3) {
      const [there, back] = middles[i] ?? [Math.sqrt(from.sigma * to.sigma), Math.sqrt(from.sigma * to.sigma)]
      const second = await outputAt(levelOf(path, there), first)
      const third = await outputAt(levelOf(path, back), second)
      const fourth = await outputAt(to, third)
      x = carry(x, weighted([1 / 6, 1 / 3, 1 / 3, 1 / 6], [first, second, third, fourth]), from, to)
    } else x = carry(x, weighted(adamsBashforth[history.length - 1] as readonly number[], history), from, to)
  }
  return x
}
