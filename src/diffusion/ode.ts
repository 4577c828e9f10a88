import { ArgumentError, LangevinError } from '../core/errors.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import type { Denoise, Sampling } from './denoiser.ts'
import { levelOf, type Path, sigmaFromRatio, vp } from './paths.ts'

/** dy/dt for a state of several arrays. */
export type Slope = (t: number, y: readonly NdArray[]) => Promise<readonly NdArray[]>

export interface OdeOptions {
  /** Accepted local error: absolute plus relative to the state. */
  readonly atol?: number
  readonly rtol?: number
  readonly maxSteps?: number
}

/** The step control gave up: the equation is too stiff for the tolerance. */
export class OdeError extends LangevinError {}

const stages = [
  [1 / 5],
  [3 / 40, 9 / 40],
  [44 / 45, -56 / 15, 32 / 9],
  [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
  [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
  [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
]
const nodes = [1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1]
const errors = [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40]

const along = (y: readonly NdArray[], slopes: readonly (readonly NdArray[])[], weights: readonly number[], h: number) =>
  y.map((part, p) =>
    weights.reduce<NdArray>(
      (sum, w, k) => (w === 0 ? sum : sum.add((slopes[k] as readonly NdArray[])[p]?.mul(h * w) as NdArray)),
      part,
    ),
  )

/** A point on the way that was accepted, with the slope there. */
export interface OdeStep {
  readonly t: number
  readonly y: readonly NdArray[]
  readonly slope: readonly NdArray[]
}
export interface OdeEnd {
  readonly y: readonly NdArray[]
  readonly evaluations: number
}

/** Adaptive Runge–Kutta 5(4): Dormand and Prince 1980, table 2. From t0 to t1 in either direction; shows the state before each step. */
export async function* rk45(
  slope: Slope,
  y: readonly NdArray[],
  t0: number,
  t1: number,
  options: OdeOptions = {},
): AsyncGenerator<OdeStep, OdeEnd, void> {
  const { atol = 1e-5, rtol = 1e-5, maxSteps = 10_000 } = options
  if (!(atol > 0 && rtol >= 0)) throw new ArgumentError(`rk45: expected atol > 0 and rtol ≥ 0, got ${atol} and ${rtol}`)
  let [t, h, evaluations] = [t0, (t1 - t0) / 50, 1]
  let first = await slope(t, y)
  if (t0 !== t1) yield { t, y, slope: first }
  for (let step = 0; t !== t1; step++) {
    if (step === maxSteps)
      throw new OdeError(`rk45: ${maxSteps} steps did not reach t = ${t1}, stopped at ${t}; loosen rtol and atol`)
    if (Math.abs(h) >= Math.abs(t1 - t)) h = t1 - t
    const slopes = [first]
    let next = y
    for (const [k, weights] of stages.entries()) {
      next = along(y, slopes, weights, h)
      slopes.push(await slope(t + (nodes[k] as number) * h, next))
      evaluations++
    }
    const zero = y.map((part) => part.mul(0))
    const error = along(zero, slopes, errors, h)
    const scaled = error.map((e, p) =>
      e.div(
        (y[p] as NdArray)
          .abs()
          .maximum((next[p] as NdArray).abs())
          .mul(rtol)
          .add(atol),
      ),
    )
    const count = scaled.reduce((sum, s) => sum + s.size, 0)
    const size = Math.sqrt(scaled.reduce((sum, s) => sum + s.dot(s), 0) / count)
    if (!Number.isFinite(size)) throw new OdeError(`rk45: the slope is not finite near t = ${t}`)
    if (size <= 1) {
      t = h === t1 - t ? t1 : t + h
      y = next
      first = slopes.at(-1) as readonly NdArray[]
      if (t !== t1) yield { t, y, slope: first }
    }
    h *= Math.min(5, Math.max(0.2, 0.9 * Math.max(size, 1e-10) ** -0.2))
  }
  return { y, evaluations }
}

export interface FlowOptions extends OdeOptions {
  readonly path?: Path
}

/**
 * Carries samples along the probability-flow ODE from one noise level to another, either way: Song et al. 2021, section 4.3. In
 * y = x/α over u = ln(σ/α) every path's equation is dy/du = y − E[x0 | x]. Both levels must be above 0 and have α > 0.
 */
export async function* probabilityFlow(
  denoise: Denoise,
  x: NdArray,
  from: number,
  to: number,
  { path = vp, ...ode }: FlowOptions = {},
): Sampling {
  const [a, b] = [levelOf(path, from), levelOf(path, to)]
  for (const level of [a, b])
    if (!Number.isFinite(level.lambda))
      throw new ArgumentError(`probabilityFlow: level σ = ${level.sigma} has no finite ratio σ/α`)
  const slope: Slope = async (u, [y]) => {
    const { alpha, sigma } = levelOf(path, sigmaFromRatio(path, Math.exp(u)))
    const state = y as NdArray
    return [state.sub(await denoise(state.mul(alpha), sigma))]
  }
  const solving = rk45(slope, [x.div(a.alpha)], -a.lambda, -b.lambda, ode)
  for (let i = 0, next = await solving.next(); ; i++, next = await solving.next()) {
    const y = next.value.y[0] as NdArray
    if (next.done) return y.mul(b.alpha)
    const { alpha, sigma } = levelOf(path, sigmaFromRatio(path, Math.exp(next.value.t)))
    yield { i, sigma, x: y.mul(alpha), denoised: y.sub(next.value.slope[0] as NdArray) }
  }
}
