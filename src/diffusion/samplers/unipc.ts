import type { MultistepSolver, Weigh } from './exponential.ts'

export interface UniPc {
  /** Evaluations of the predictor; the corrector uses one more. */
  readonly order?: number
  readonly form?: 'data' | 'noise'
  /** B(h) of the paper, which matters only where two evaluations are weighed. */
  readonly variant?: 'bh1' | 'bh2'
  /** Steps whose result is not corrected. */
  readonly uncorrected?: readonly number[]
  readonly lowerFinal?: boolean
}

/**
 * UniPC: Zhao et al. 2023, Algorithms 1 and 2. Its predictor and corrector weights solve the same Vandermonde system as exact
 * interpolation; with two evaluations the paper sets the weight to 1/2 of B(h), h or e^h − 1.
 */
export function unipc({
  order = 2,
  form = 'data',
  variant = 'bh2',
  uncorrected = [],
  lowerFinal = true,
}: UniPc = {}): MultistepSolver {
  const weigh: Weigh = (exact, length) =>
    exact.length === 2 ? [exact[0] as number, (variant === 'bh1' ? length : (exact[0] as number)) / 2] : exact
  const ordered = (i: number, steps: number) => Math.min(order, lowerFinal ? steps - i : order, i + 1)
  return {
    form,
    weigh,
    order: ordered,
    correct: (i, steps) => (uncorrected.includes(i - 1) ? 0 : ordered(i - 1, steps) + 1),
  }
}

export interface SaSolver {
  readonly predictor?: number
  readonly corrector?: number
  readonly form?: 'data' | 'noise'
  /** Noise of the i-th step, 0 to 1. */
  readonly tau?: (i: number) => number
  readonly lowerFinal?: boolean
}

/** SA-Solver, a stochastic Adams method: Xue et al. 2023, Algorithm 1, with the reference's weights for two evaluations of data. */
export function saSolver({
  predictor = 2,
  corrector = 2,
  form = 'data',
  tau = () => 1,
  lowerFinal = true,
}: SaSolver = {}): MultistepSolver {
  const weigh: Weigh = (exact, length) => (exact.length === 2 && form === 'data' ? [exact[0] as number, length / 2] : exact)
  return {
    form,
    weigh,
    tau,
    draws: () => 1,
    order: (i, steps) => Math.min(predictor, lowerFinal ? steps - i : predictor, i + 1),
    correct: (i, steps) => Math.min(corrector, lowerFinal ? steps - i + 2 : corrector, i + 1),
  }
}
