import { ArgumentError } from '../../core/errors.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { Generator } from '../../runtime/random.ts'
import { type Denoise, noiseSource, type Sampling } from '../denoiser.ts'
import { checkSigmas, type Level, levelOf, noiseIn, type Path, vp } from '../paths.ts'

/**
 * Exponential integrators: with λ = ln(α/σ) the reverse equation is linear but for the denoiser, so one step is exact up to an
 * integral of the denoiser over λ (Lu et al. 2022; Zhang and Chen 2023). A multistep solver puts a polynomial through its last
 * evaluations; solvers differ in what they interpolate and in a few weights. Here that is all they say.
 */
export interface Integrand {
  /** What the polynomial goes through: the predicted data (DPM-Solver++) or the predicted noise (DPM-Solver, DEIS). */
  readonly form: 'data' | 'noise'
  /** Noise added on the way: 0 solves the ODE, 1 the reverse SDE (Xue et al. 2023, eq. 5). */
  readonly tau?: number
  /** The weight of every power of the polynomial; by default the exact integrals. */
  readonly weigh?: Weigh
}

/** From the exact integrals of 1, u, u² … over the step, and its scaled length, to the weights that a solver uses. */
export type Weigh = (exact: readonly number[], length: number) => readonly number[]

/** x' = keep·x + Σ use_k·m_k + noise·z, with m_k the evaluations at the nodes. */
export interface Combination {
  readonly keep: number
  readonly use: readonly number[]
  readonly noise: number
}

const exactly: Weigh = (exact) => exact

/** One step from a level to another, with evaluations at the nodes (any levels, the origin first when there is only one). */
export function exponentialStep(
  { form, tau = 0, weigh = exactly }: Integrand,
  from: Level,
  to: Level,
  nodes: readonly Level[],
): Combination {
  const h = to.lambda - from.lambda
  if (h === 0) return { keep: 1, use: nodes.map(() => 0), noise: 0 }
  if (form === 'noise' && to.sigma === 0) return { keep: 1 / from.alpha, use: [-from.sigma / from.alpha], noise: 0 }
  const renewed = tau * tau
  const rate = form === 'data' ? 1 + renewed : -1
  // With no noise left to reach (h = ∞) only the newest evaluation counts, and one made in pure noise (λ = −∞) never does.
  const far = !Number.isFinite(h)
  const counts = nodes.map((node, i) => (far ? i === 0 : node === from || Number.isFinite(node.lambda)))
  const places = nodes.filter((_, i) => counts[i]).map((node) => (far || node === from ? 0 : (node.lambda - from.lambda) / h))
  const weights = weigh(moments(rate * h, places.length), rate * h)
  const scale = form === 'data' ? to.alpha : to.sigma * (1 + renewed)
  const used = lagrange(places).map((row) => scale * row.reduce((sum, a, k) => sum + a * (weights[k] as number), 0))
  const use = counts.map((counted) => (counted ? (used.shift() as number) : 0))
  return form === 'data'
    ? {
        keep: (to.sigma / from.sigma) * Math.exp(-renewed * (to.sigma === 0 ? 0 : h)),
        use,
        noise: to.sigma * Math.sqrt(-Math.expm1(-2 * renewed * (to.sigma === 0 ? 0 : h))),
      }
    : { keep: to.alpha / from.alpha, use, noise: tau * to.sigma * Math.sqrt(Math.expm1(2 * h)) }
}

/** L ∫₀¹ e^(−L(1−u)) u^k du for k = 0 … count − 1. */
export function moments(length: number, count: number): number[] {
  const out: number[] = []
  for (let k = 0; k < count; k++) {
    if (Math.abs(length) >= 0.5) {
      out.push(k === 0 ? -Math.expm1(-length) : 1 - (k * (out[k - 1] as number)) / length)
      continue
    }
    let term = length / (k + 1)
    let sum = 0
    for (let j = 1; j < 30; j++) {
      sum += term
      term *= -length / (k + 1 + j)
    }
    out.push(sum)
  }
  return out
}

/** Row i: the coefficients, lowest power first, of the polynomial that is 1 at place i and 0 at the others. */
export function lagrange(places: readonly number[]): number[][] {
  return places.map((at, i) =>
    places.reduce(
      (row, other, j) => {
        if (i === j) return row
        const next = new Array<number>(row.length + 1).fill(0)
        for (const [k, a] of row.entries()) {
          next[k] = (next[k] as number) - (a * other) / (at - other)
          next[k + 1] = (next[k + 1] as number) + a / (at - other)
        }
        return next
      },
      [1],
    ),
  )
}

/** keep·x + Σ use_k·m_k + noise·z. */
export function combine({ keep, use, noise }: Combination, x: NdArray, outputs: readonly NdArray[], z?: NdArray): NdArray {
  let sum: NdArray = x.mul(keep)
  for (const [k, weight] of use.entries()) if (weight !== 0) sum = sum.add((outputs[k] as NdArray).mul(weight))
  return z && noise !== 0 ? sum.add(z.mul(noise)) : sum
}

/** What the network gave at a level, as the integrand's form has it. */
export interface Evaluation {
  readonly level: Level
  readonly output: NdArray
}

/** x carried from a level to another by the evaluations. */
export function advance(
  integrand: Integrand,
  x: NdArray,
  [from, to]: readonly [Level, Level],
  used: readonly Evaluation[],
  z?: NdArray,
): NdArray {
  const levels = used.map(({ level }) => level)
  const outputs = used.map(({ output }) => output)
  return combine(exponentialStep(integrand, from, to, levels), x, outputs, z)
}

export interface MultistepSolver extends Omit<Integrand, 'tau'> {
  /** How many evaluations the i-th of `steps` steps may use. */
  readonly order: (i: number, steps: number) => number
  /** Noise at the i-th step's level; default none. */
  readonly tau?: (i: number) => number
  /** After every evaluation the step to it is taken again, with it: how many evaluations, 0 for none. */
  readonly correct?: (i: number, steps: number) => number
  /** How many times the i-th step draws noise, of which the last counts; default never. */
  readonly draws?: (i: number, steps: number) => number
}

export interface MultistepOptions {
  readonly path?: Path
  readonly generator?: Generator
  /** Where each step lands, when that is not the next level. */
  readonly targets?: readonly number[]
}

/** How many evaluations are remembered; higher orders are unstable long before. */
const longest = 8

/**
 * The first level that repeats the one before it where a step would put a polynomial through the evaluations at both, which
 * there is not; undefined where no step does.
 */
export function repeatedLevel(sigmas: readonly number[], { order, correct }: MultistepSolver): number | undefined {
  const steps = sigmas.length - 1
  const used = (i: number) => Math.max(order(i, steps), correct?.(i, steps) ?? 0)
  const joins = (at: number) => Array.from({ length: steps - at }, (_, k) => at + k).some((i) => used(i) > i - at + 1)
  const found = sigmas.findIndex((sigma, at) => at > 0 && at < steps && sigma === sigmas[at - 1] && joins(at))
  return found < 0 ? undefined : found
}

/**
 * Any multistep exponential integrator with or without its corrector: the exact solution of Lu et al. 2022, proposition 3.1, with
 * a polynomial through the last evaluations in its integral. The solvers are in dpm-solver.ts and unipc.ts.
 */
export async function* multistep(
  denoise: Denoise,
  x: NdArray,
  sigmas: readonly number[],
  solver: MultistepSolver,
  { path = vp, generator, targets }: MultistepOptions = {},
): Sampling {
  checkSigmas(sigmas, 'multistep', 'any')
  const twice = repeatedLevel(sigmas, solver)
  if (twice !== undefined)
    throw new ArgumentError(
      `multistep: sigmas[${twice - 1}] and sigmas[${twice}] are both ${sigmas[twice]}, and no polynomial goes through two evaluations at one level`,
    )
  const levels = sigmas.map((sigma) => levelOf(path, sigma))
  const landings = targets ? targets.map((sigma) => levelOf(path, sigma)) : levels.slice(1)
  const steps = levels.length - 1
  const { form, weigh, order, correct, tau = () => 0, draws = () => 0 } = solver
  let history: Evaluation[] = []
  let last: { x: NdArray; z?: NdArray; tau: number } | undefined
  for (let i = 0; i < steps; i++) {
    const [before, from, to] = [levels[i - 1], levels[i] as Level, landings[i] as Level]
    const denoised = await denoise(x, from.sigma)
    yield { i, sigma: from.sigma, x, denoised }
    history = [{ level: from, output: form === 'data' ? denoised : noiseIn(x, denoised, from) }, ...history.slice(0, longest)]
    const corrections = correct?.(i, steps) ?? 0
    if (last && before && corrections > 0)
      x = advance({ form, weigh, tau: last.tau }, last.x, [before, from], history.slice(0, corrections), last.z)
    let z: NdArray | undefined
    for (let k = draws(i, steps); k > 0; k--) z = noiseSource(generator, 'this solver').randn(x.shape)
    last = { x, z, tau: tau(i) }
    x = advance({ form, weigh, tau: last.tau }, x, [from, to], history.slice(0, order(i, steps)), z)
  }
  return x
}
