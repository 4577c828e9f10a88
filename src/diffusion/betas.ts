import { ArgumentError } from '../core/errors.ts'

/**
 * Noise schedules of discrete diffusion as float32 tables, rounded where PyTorch rounds them, so that every later number
 * agrees with the reference even where 1 − ᾱ nearly cancels.
 */
export type BetaSchedule = 'linear' | 'scaled_linear' | 'squaredcos_cap_v2' | 'sigmoid' | 'laplace' | 'exp'

export interface BetaOptions {
  readonly steps?: number
  readonly start?: number
  readonly end?: number
}

/** β_1 … β_T by name. `start` and `end` bound linear (Ho et al. 2020), scaled_linear (Rombach et al. 2022) and sigmoid. */
export function betaSchedule(name: BetaSchedule, { steps = 1000, start = 1e-4, end = 0.02 }: BetaOptions = {}): Float32Array {
  if (!Number.isInteger(steps) || steps < 1) throw new ArgumentError(`betaSchedule: expected steps ≥ 1, got ${steps}`)
  switch (name) {
    case 'linear':
      return linspace(start, end, steps)
    case 'scaled_linear':
      return linspace(Math.sqrt(start), Math.sqrt(end), steps).map((b) => b * b)
    case 'sigmoid':
      return linspace(-6, 6, steps).map(
        (x) => Math.fround(Math.fround(1 / (1 + Math.exp(-x))) * Math.fround(end - start)) + start,
      )
    case 'squaredcos_cap_v2':
      return betasFromAlphaBar(steps, (t) => Math.cos((((t + 0.008) / 1.008) * Math.PI) / 2) ** 2)
    case 'exp':
      return betasFromAlphaBar(steps, (t) => Math.exp(-12 * t))
    case 'laplace':
      return betasFromAlphaBar(steps, (t) => {
        const lambda = -0.5 * (t > 0.5 ? -1 : 1) * Math.log(1 - 2 * Math.abs(0.5 - t) + 1e-6)
        return Math.sqrt(Math.exp(lambda) / (1 + Math.exp(lambda)))
      })
  }
}

/** β_t = 1 − ᾱ(t/T)/ᾱ((t−1)/T), at most 0.999 (Nichol and Dhariwal 2021, section 3.2). */
export function betasFromAlphaBar(steps: number, alphaBar: (t: number) => number): Float32Array {
  return Float32Array.from({ length: steps }, (_, i) => Math.min(1 - alphaBar((i + 1) / steps) / alphaBar(i / steps), 0.999))
}

/** ᾱ_t = Π (1 − β), t = 1 … T at indexes 0 … T − 1. */
export function alphasCumprod(betas: Float32Array): Float32Array {
  let product = 1
  return betas.map((beta) => {
    product *= Math.fround(1 - beta)
    return product
  })
}

/** ᾱ moved and stretched in √ᾱ so that the last is 0 and the first stays (Lin et al. 2024, algorithm 1). */
export function zeroTerminal(alphasCumprod: Float32Array): Float32Array {
  const roots = alphasCumprod.map(Math.sqrt)
  const [first, last] = [roots[0] as number, roots[roots.length - 1] as number]
  const scale = Math.fround(first / Math.fround(first - last))
  return roots.map((root) => Math.fround(root - last) * scale).map((root) => root * root)
}

/** Betas whose last step leaves no signal. */
export function rescaleZeroTerminalSnr(betas: Float32Array): Float32Array {
  const bars = zeroTerminal(alphasCumprod(betas))
  return bars.map((bar, i) => 1 - Math.fround(i === 0 ? bar : bar / (bars[i - 1] as number)))
}

/** PyTorch's float32 linspace: it counts from both ends; one step gives the start. */
export function linspace(start: number, end: number, steps: number): Float32Array {
  const [from, to] = [Math.fround(start), Math.fround(end)]
  if (steps === 1) return Float32Array.of(from)
  const step = Math.fround(Math.fround(to - from) / (steps - 1))
  return Float32Array.from({ length: steps }, (_, i) => (i < steps / 2 ? from + step * i : to - step * (steps - 1 - i)))
}
