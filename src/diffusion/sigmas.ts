import { ArgumentError } from '../core/errors.ts'
import { numpyLinspace } from './spacing.ts'

/** The ends of a list of noise levels. */
export interface SigmaRange {
  readonly min: number
  readonly max: number
  readonly steps: number
}

function checkRange({ min, max, steps }: SigmaRange): void {
  if (!(Number.isInteger(steps) && steps >= 1)) throw new ArgumentError(`steps: expected a whole number ≥ 1, got ${steps}`)
  if (!(min > 0 && max >= min)) throw new ArgumentError(`sigmas: expected 0 < min ≤ max, got min ${min} and max ${max}`)
}

/** Noise levels even in σ^(1/ρ), falling from max to min (Karras et al. 2022, eq. 5). */
export function karrasSigmas({ min, max, steps, rho = 7 }: SigmaRange & { readonly rho?: number }): number[] {
  checkRange({ min, max, steps })
  return spreads.karras(max, min, steps, rho)
}

/** The same levels from any level to any other, for configs whose levels may rise. */
export const spreads = {
  karras: (from: number, to: number, steps: number, rho = 7): number[] => {
    const [first, last] = [from ** (1 / rho), to ** (1 / rho)]
    return numpyLinspace(0, 1, steps).map((ramp) => (first + ramp * (last - first)) ** rho)
  },
  exponential: (from: number, to: number, steps: number): number[] =>
    numpyLinspace(Math.log(from), Math.log(to), steps).map(Math.exp),
  beta: (from: number, to: number, steps: number, a = 0.6, b = 0.6): number[] =>
    numpyLinspace(0, 1, steps).map((t) => to + betaQuantile(1 - t, a, b) * (from - to)),
}

/** Noise levels even in ln σ, falling; also the uniform-λ levels of Lu et al. 2022 (their λ is −ln σ). */
export function exponentialSigmas({ min, max, steps }: SigmaRange): number[] {
  checkRange({ min, max, steps })
  return spreads.exponential(max, min, steps)
}

/** Noise levels at the quantiles of a Beta distribution, denser at both ends (Lee et al. 2024). */
export function betaSigmas({
  min,
  max,
  steps,
  a = 0.6,
  b = 0.6,
}: SigmaRange & { readonly a?: number; readonly b?: number }): number[] {
  checkRange({ min, max, steps })
  return spreads.beta(max, min, steps, a, b)
}

/** The x with a share p of Beta(a, b) below it. */
export function betaQuantile(p: number, a: number, b: number): number {
  if (p <= 0 || p >= 1) return p <= 0 ? 0 : 1
  const cut = (a + 1) / (a + b + 2)
  const [left, right] = [incompleteBeta(cut, a, b), incompleteBeta(1 - cut, b, a)]
  const share = (x: number) =>
    x < cut ? incompleteBeta(x, a, b) / (left + right) : 1 - incompleteBeta(1 - x, b, a) / (left + right)
  let [low, high] = [0, 1]
  while (high - low > Number.EPSILON * high) {
    const middle = (low + high) / 2
    if (middle === low || middle === high) break
    if (share(middle) < p) low = middle
    else high = middle
  }
  return (low + high) / 2
}

/** ∫₀ˣ t^(a−1) (1−t)^(b−1) dt by its continued fraction (Abramowitz and Stegun 26.5.8), for x up to about a/(a + b). */
function incompleteBeta(x: number, a: number, b: number): number {
  let [c, d] = [1, 1 / (1 - ((a + b) * x) / (a + 1))]
  let fraction = d
  for (let m = 1; m < 300; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m))
    d = 1 / (1 + even * d)
    c = 1 + even / c
    fraction *= c * d
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1))
    d = 1 / (1 + odd * d)
    c = 1 + odd / c
    fraction *= c * d
    if (Math.abs(c * d - 1) < 1e-16) break
  }
  return (x ** a * (1 - x) ** b * fraction) / a
}

/** σ/α = √((1 − ᾱ)/ᾱ) of every timestep, rising; float32. */
export function sigmaTable(alphasCumprod: Float32Array): Float32Array {
  return alphasCumprod.map((bar) => Math.sqrt(Math.fround(Math.fround(1 - bar) / bar)))
}

/** A table's value at a timestep between its entries; beyond its ends, the end's. */
export function interpolate(table: ArrayLike<number>, t: number): number {
  const at = Math.min(Math.max(t, 0), table.length - 1)
  const low = Math.min(Math.floor(at), table.length - 2)
  const [from, to] = [table[low] as number, table[low + 1] as number]
  return from + (to - from) * (at - low)
}

/** The timestep at which a rising table of σ has this σ, linear in ln σ (float32 logarithms); beyond its ends, the end's. */
export function timestepOfSigma(table: ArrayLike<number>, sigma: number): number {
  let [low, high] = [0, table.length - 1]
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if ((table[middle] as number) <= sigma) low = middle
    else high = middle
  }
  const [from, to] = [Math.fround(Math.log(table[low] as number)), Math.fround(Math.log(table[high] as number))]
  const weight = (Math.log(Math.max(sigma, 1e-10)) - from) / (to - from)
  return low + Math.min(Math.max(weight, 0), 1)
}

/** Moves flow times towards the noise: σ' = sσ / (1 + (s − 1)σ) (Esser et al. 2024, eq. 23). */
export const shiftSigma = (sigma: number, shift: number): number => (shift * sigma) / (1 + (shift - 1) * sigma)

/** The shift of a resolution: μ linear in the number of image tokens, used as shift e^μ (Black Forest Labs 2024, Flux). */
export function dynamicShift(
  tokens: number,
  { baseTokens = 256, maxTokens = 4096, baseShift = 0.5, maxShift = 1.15 }: DynamicShift = {},
): number {
  return baseShift + ((maxShift - baseShift) * (tokens - baseTokens)) / (maxTokens - baseTokens)
}
export interface DynamicShift {
  readonly baseTokens?: number
  readonly maxTokens?: number
  readonly baseShift?: number
  readonly maxShift?: number
}

/** Stretches 1 − σ so that the last level is `terminal`. */
export function stretchToTerminal(sigmas: readonly number[], terminal: number): number[] {
  const scale = (1 - (sigmas.at(-1) as number)) / (1 - terminal)
  return sigmas.map((sigma) => 1 - (1 - sigma) / scale)
}

/** Ten-step schedules found by "Align Your Steps" (Sabour et al. 2024): σ of the `ve` form, and timesteps of a thousand. */
export const alignYourSteps = {
  stableDiffusion: {
    timesteps: [999, 850, 736, 645, 545, 455, 343, 233, 124, 24],
    sigmas: [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0],
  },
  stableDiffusionXL: {
    timesteps: [999, 845, 730, 587, 443, 310, 193, 116, 53, 13],
    sigmas: [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.38, 0.234, 0.113, 0],
  },
  stableVideoDiffusion: { sigmas: [700, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0] },
} as const

/** A ten-step schedule stretched to another number of steps: linear in ln σ between its levels (Sabour et al. 2024, appendix). */
export function resampleSigmas(sigmas: readonly number[], steps: number): number[] {
  const logs = sigmas.filter((sigma) => sigma > 0).map(Math.log)
  if (logs.length < 2) throw new ArgumentError(`resampleSigmas: expected at least 2 levels above 0, got ${logs.length}`)
  return [...numpyLinspace(0, logs.length - 1, steps).map((at) => Math.exp(interpolate(logs, at))), 0]
}
