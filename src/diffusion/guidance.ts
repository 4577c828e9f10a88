import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { Denoise } from './denoiser.ts'
import { levelOf, type Path, vp } from './paths.ts'

/**
 * A denoiser, or a raw network, under conditions: x is [k·B, …], k copies of one batch with a condition each. Its number is a
 * noise level or a timestep, whichever the function it becomes is called with; guidance by extrapolation fits both.
 */
export type Conditional<C> = (x: NdArray, level: number, conditions: readonly C[]) => Promise<NdArray> | NdArray

/** Axes of one sample. */
const inner = (x: NdArray) => x.shape.map((_, i) => i).slice(1)

/** Every condition's prediction for one x, from one evaluation of k batches. */
async function predictions<C>(f: Conditional<C>, x: NdArray, level: number, conditions: readonly C[]): Promise<NdArray[]> {
  const output = await f(NdArray.concat(conditions.map(() => x)), level, conditions)
  const size = x.shape[0] as number
  return conditions.map((_, k) => output.slice(0, k * size, (k + 1) * size))
}

export interface Guidance<C> {
  readonly condition: C
  /** The empty condition, or a negative prompt. */
  readonly unconditional: C
  /** 1 is no guidance, 0 is the unconditional. */
  readonly scale: number
  /** 0 … 1: brings the standard deviation back towards the conditional's (Lin et al. 2024, section 3.4). */
  readonly rescale?: number
  /** Guides only where min < level ≤ max (Kynkäänniemi et al. 2024). */
  readonly interval?: readonly [min: number, max: number]
}

/** Classifier-free guidance u + s(c − u): Ho and Salimans 2022, eq. 6. Both run as one batch. */
export function classifierFree<C>(
  f: Conditional<C>,
  { condition, unconditional, scale, rescale = 0, interval }: Guidance<C>,
): Denoise {
  return async (x, level) => {
    const outside = interval && !(level > interval[0] && level <= interval[1])
    if (scale === 1 || outside) return f(x, level, [condition])
    const [c, u] = (await predictions(f, x, level, [condition, unconditional])) as [NdArray, NdArray]
    return rescaled(extrapolate(c, u, scale), c, rescale)
  }
}

/** u + s(c − u). */
export const extrapolate = (c: NdArray, u: NdArray, scale: number): NdArray => u.add(c.sub(u).mul(scale))

/** Brings each sample's standard deviation a share φ of the way back to the conditional's (Lin et al. 2024, eqs. 15 and 16). */
export function rescaled(guided: NdArray, conditional: NdArray, share: number): NdArray {
  if (share === 0) return guided
  const over = { axes: inner(guided), keep: true }
  const factor = conditional.std(over).div(guided.std(over))
  return guided.mul(factor.mul(share).add(1 - share))
}

/** Extrapolates a prediction away from a worse one: perturbed-attention, self-attention and auto-guidance differ in what the worse is. */
export function contrast(good: Denoise, worse: Denoise, scale: number): Denoise {
  return async (x, level) => {
    const prediction = await good(x, level)
    return scale === 0 ? prediction : prediction.add(prediction.sub(await worse(x, level)).mul(scale))
  }
}

export interface PerturbedGuidance<C> extends Guidance<C> {
  /** The network with part of it put out of action: attention maps made the identity, or layers left out. */
  readonly perturbed: Conditional<C>
  /** How far from its prediction, by level; 0 does not evaluate it. */
  readonly perturbedScale: number | ((level: number) => number)
}

/**
 * u + s(c − u) + p(c − ĉ), with ĉ what the network gives for the condition when it is perturbed: perturbed-attention guidance (Ahn et
 * al. 2024, eq. 15 with classifier-free guidance) and skip-layer guidance (as SD 3.5 uses it) differ in what is perturbed. `interval`
 * bounds the levels at which the perturbed network counts; classifier-free guidance acts at all.
 */
export function perturbedGuidance<C>(f: Conditional<C>, options: PerturbedGuidance<C>): Denoise {
  const { condition, unconditional, scale, rescale = 0, interval, perturbed, perturbedScale } = options
  return async (x, level) => {
    const outside = interval && !(level > interval[0] && level <= interval[1])
    const strength = outside ? 0 : typeof perturbedScale === 'number' ? perturbedScale : perturbedScale(level)
    const conditions = scale === 1 ? [condition] : [condition, unconditional]
    const [c, u] = (await predictions(f, x, level, conditions)) as [NdArray, NdArray | undefined]
    const guided = u ? extrapolate(c, u, scale) : c
    if (strength === 0) return rescaled(guided, c, rescale)
    return rescaled(guided.add(c.sub(await perturbed(x, level, [condition])).mul(strength)), c, rescale)
  }
}

/** A perturbed scale that falls with the timestep, p − a(1000 − t) and not below 0, as diffusers' adaptive scaling. */
export const adaptivePerturbedScale =
  (scale: number, adaptive: number): ((t: number) => number) =>
  (t) =>
    Math.max(0, scale - adaptive * (1000 - t))

export interface ProjectedGuidance<C> extends Omit<Guidance<C>, 'rescale' | 'interval'> {
  /** How much of the difference along the conditional prediction is kept; 0 keeps none, 1 is plain guidance. */
  readonly parallel?: number
  /** Longer differences are shortened to this norm. */
  readonly radius?: number
  /** Adds this multiple of the differences before; negative values counteract overshoot. */
  readonly momentum?: number
}

/** Adaptive projected guidance: Sadat et al. 2024, Algorithm 1. For data predictions; one use a run, as the momentum is its own. */
export function projected<C>(f: Conditional<C>, options: ProjectedGuidance<C>): Denoise {
  const { condition, unconditional, scale, parallel = 0, radius = Infinity, momentum = 0 } = options
  let running: NdArray | undefined
  return async (x, level) => {
    const [c, u] = (await predictions(f, x, level, [condition, unconditional])) as [NdArray, NdArray]
    running = running ? c.sub(u).add(running.mul(momentum)) : c.sub(u)
    const over = { axes: inner(x), keep: true }
    const shortened = running.mul(
      running
        .norm(over)
        .maximum(1e-12)
        .map((n) => Math.min(1, radius / n)),
    )
    const unit = c.div(c.norm(over).maximum(1e-12))
    const along = unit.mul(shortened.mul(unit).sum(over))
    return c.add(
      shortened
        .sub(along)
        .add(along.mul(parallel))
        .mul(scale - 1),
    )
  }
}

/** ∇ₓ ln p(y | x) at a noise level: of a classifier on noised inputs, or of a similarity such as CLIP's. */
export type LogGradient = (x: NdArray, sigma: number) => Promise<NdArray> | NdArray

/**
 * Guidance by a gradient: E[x0 | x, y] = E[x0 | x] + s(σ²/α)∇ ln p(y | x), which is the shifted mean of Dhariwal and Nichol 2021
 * (Algorithms 1 and 2) as a denoiser; exact for s = 1 and a perfect classifier. CLIP guidance of Nichol et al. 2022 has this form.
 */
export function gradientGuided(
  denoise: Denoise,
  gradient: LogGradient,
  { scale = 1, path = vp }: { scale?: number; path?: Path } = {},
): Denoise {
  return async (x, sigma) => {
    const data = await denoise(x, sigma)
    const { alpha } = levelOf(path, sigma)
    return data.add((await gradient(x, sigma)).mul((scale * sigma * sigma) / alpha))
  }
}

/** A condition and where it holds: the mask broadcasts to x, ≥ 0. */
export interface Region<C> {
  readonly condition: C
  readonly mask: NdArray
}

/** Several conditions at once, each in its region; overlaps are averaged by the masks (Bar-Tal et al. 2023, eq. 5). */
export function regional<C>(f: Conditional<C>, regions: readonly Region<C>[]): Denoise {
  if (regions.length === 0) throw new ArgumentError('regional: expected at least one region')
  const total = regions.map((r) => r.mask).reduce((sum, mask) => sum.add(mask))
  if (!(total.cast('f32').min().item() > 0))
    throw new ArgumentError('regional: the masks leave some of the picture to no condition')
  return async (x, level) => {
    const parts = await predictions(
      f,
      x,
      level,
      regions.map((r) => r.condition),
    )
    return parts
      .map((part, k) => part.mul((regions[k] as Region<C>).mask))
      .reduce((sum, part) => sum.add(part))
      .div(total)
  }
}

/** A condition of a composition; with a mask, which broadcasts to x, it acts there only. */
export interface Part<C> {
  readonly condition: C
  readonly scale: number
  readonly mask?: NdArray
}

/**
 * Several conditions at once: u + Σ s_k m_k(c_k − u), a product of experts (Liu et al. 2022b, eq. 11) and AUTOMATIC1111's AND, each
 * everywhere or in its mask m_k.
 */
export function composed<C>(f: Conditional<C>, unconditional: C, parts: readonly Part<C>[]): Denoise {
  if (parts.length === 0) throw new ArgumentError('composed: expected at least one condition')
  return async (x, level) => {
    const [u, ...conditional] = (await predictions(f, x, level, [unconditional, ...parts.map((p) => p.condition)])) as [
      NdArray,
      ...NdArray[],
    ]
    return conditional.reduce((sum, c, k) => {
      const { scale, mask } = parts[k] as Part<C>
      const difference = c.sub(u).mul(scale)
      return sum.add(mask ? difference.mul(mask) : difference)
    }, u)
  }
}
