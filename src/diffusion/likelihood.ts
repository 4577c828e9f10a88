import { NdArray } from '../runtime/ndarray.ts'
import type { Generator } from '../runtime/random.ts'
import { type Denoise, finish } from './denoiser.ts'
import { type OdeOptions, rk45, type Slope } from './ode.ts'
import { levelOf, type Path, sigmaFromRatio, vp } from './paths.ts'

/** J·v of the denoiser at x; finite differences by default, a network's own Jacobian–vector product when it has one. */
export type DenoiserJvp = (x: NdArray, sigma: number, v: NdArray) => Promise<NdArray>

export const finiteDifferences =
  (denoise: Denoise, step = 1e-2): DenoiserJvp =>
  async (x, sigma, v) => {
    const h = step * Math.max(sigma, 1e-3)
    return (await denoise(x.add(v.mul(h)), sigma)).sub(await denoise(x.sub(v.mul(h)), sigma)).div(2 * h)
  }

/** One number a sample: Σ over all but the first axis. */
const sumEach = (x: NdArray) => x.sum({ axes: x.shape.map((_, i) => i).slice(1) })

/** The trace of a denoiser's Jacobian, one number a sample: exact over unit vectors, or unbiased with ±1 probes (Hutchinson 1990). */
export async function jacobianTrace(jvp: DenoiserJvp, x: NdArray, sigma: number, probe: NdArray | 'exact'): Promise<NdArray> {
  if (probe !== 'exact') return sumEach((await jvp(x, sigma, probe)).mul(probe))
  const size = x.size / (x.shape[0] as number)
  let trace = NdArray.zeros([x.shape[0] as number])
  for (let j = 0; j < size; j++) {
    const unit = NdArray.zeros(x.shape).map((_, i) => (i % size === j ? 1 : 0))
    trace = trace.add(sumEach((await jvp(x, sigma, unit)).mul(unit)))
  }
  return trace
}

/** ±1, each with probability one half. */
export const rademacher = (shape: readonly number[], generator: Generator): NdArray =>
  generator.rand(shape).map((u) => (u < 0.5 ? -1 : 1))

export interface OdeLikelihoodOptions extends OdeOptions {
  readonly path?: Path
  /** The levels between which the flow is followed; the upper one's prior is N(0, σ²) on `ve`, N(0, α² + σ²) else. */
  readonly min: number
  readonly max: number
  /** A generator for Hutchinson's probe; without one the trace is exact, a Jacobian column an element. */
  readonly generator?: Generator
  readonly jvp?: DenoiserJvp
}

/**
 * ln p(x) of every sample in nats, through the probability-flow ODE: Song et al. 2021, appendix D.2. x is data at level `min`.
 * In y = x/α over u = ln(σ/α): dy/du = y − D and d ln p/du = tr J_D − n.
 */
export async function odeLogLikelihood(denoise: Denoise, x: NdArray, options: OdeLikelihoodOptions) {
  const { path = vp, min, max, generator, jvp = finiteDifferences(denoise), ...ode } = options
  const [a, b] = [levelOf(path, min), levelOf(path, max)]
  const size = x.size / (x.shape[0] as number)
  const probe = generator ? rademacher(x.shape, generator) : 'exact'
  const slope: Slope = async (u, [y]) => {
    const { alpha, sigma } = levelOf(path, sigmaFromRatio(path, Math.exp(u)))
    const state = (y as NdArray).mul(alpha)
    const trace = await jacobianTrace(jvp, state, sigma, probe)
    return [(y as NdArray).sub(await denoise(state, sigma)), trace.mul(alpha).sub(size).neg()]
  }
  const start = [x.div(a.alpha), NdArray.zeros([x.shape[0] as number])]
  const { y, evaluations } = await finish(rk45(slope, start, -a.lambda, -b.lambda, ode))
  const [end, grown] = [(y[0] as NdArray).mul(b.alpha), y[1] as NdArray]
  const variance = path.name === 've' ? b.sigma ** 2 : b.alpha ** 2 + b.sigma ** 2
  const scale = size * (Math.log(b.alpha) - Math.log(a.alpha) - 0.5 * Math.log(2 * Math.PI * variance))
  const logLikelihood = sumEach(end.square())
    .div(-2 * variance)
    .add(grown)
    .add(scale)
  return { logLikelihood, latent: end, evaluations }
}

/** Nats of 8-bit pixels scaled to [−1, 1] as bits per dimension: −ln p / (n ln 2) + 7 (8 for [0, 1]). */
export function bitsPerDimension(logLikelihood: number, size: number, range: '[-1, 1]' | '[0, 1]' = '[-1, 1]'): number {
  return -logLikelihood / (size * Math.LN2) + (range === '[-1, 1]' ? 7 : 8)
}
