import { ArgumentError } from '../core/errors.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import type { Generator } from '../runtime/random.ts'
import type { Denoise } from './denoiser.ts'
import type { GaussianDiffusion } from './gaussian.ts'

/** Mean over the elements of every sample, in bits. */
const bitsEach = (nats: NdArray): NdArray => nats.mean({ axes: nats.shape.map((_, i) => i).slice(1) }).div(Math.LN2)

/** KL(N(m1, e^l1) ‖ N(m2, e^l2)), element by element, in nats. */
export function gaussianKl(mean1: NdArray, logVar1: NdArray, mean2: NdArray, logVar2: NdArray): NdArray {
  const ratio = logVar1.sub(logVar2)
  return ratio.neg().sub(1).add(ratio.exp()).add(mean1.sub(mean2).square().mul(logVar2.neg().exp())).div(2)
}

/**
 * ln of the probability that N(mean, e^logVar) gives to a pixel's bin, for data in [−1, 1] at 256 values; the end bins reach to
 * infinity (Ho et al. 2020, eq. 13). The normal distribution function is the usual tanh approximation, good to 3e-4.
 */
export function discretizedLogLikelihood(data: NdArray, mean: NdArray, logVar: NdArray): NdArray {
  const below = (z: number) => 0.5 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (z + 0.044715 * z ** 3)))
  const centred = data.sub(mean)
  const inverse = logVar.div(-2).exp().expand(centred.shape)
  return centred.map((c, i) => {
    const [x, s] = [data.data[i] as number, inverse.data[i] as number]
    const [up, down] = [below(s * (c + 1 / 255)), below(s * (c - 1 / 255))]
    return Math.log(Math.max(x < -0.999 ? up : x > 0.999 ? 1 - down : up - down, 1e-12))
  })
}

/** A reverse step's mean and log variance at timestep t, the same for all samples of x. */
export type ReverseStep = (x: NdArray, t: number) => Promise<{ readonly mean: NdArray; readonly logVariance: NdArray }>

/**
 * A denoiser's reverse step: q(x_{t−1} | x_t, x_0) at what it makes of x, held in [−1, 1] (Ho et al. 2020, section 3.2, the lower
 * variance). The first step, whose posterior has no variance, takes the second's.
 */
export const posteriorStep =
  (process: GaussianDiffusion, denoise: Denoise): ReverseStep =>
  async (x, t) => {
    const data = (await denoise(x, process.level(t).sigma)).clamp(-1, 1)
    const at = (t: number) => process.posterior(data, x, new Array<number>(x.shape[0] as number).fill(t))
    return { mean: at(t).mean, logVariance: at(Math.max(t, 1)).variance.log() }
  }

/**
 * One term of the variational bound, bits per dimension, one number a sample: KL of the posterior from the reverse step, or for
 * t = 0 the decoder's −ln p (Ho et al. 2020, eq. 5). To train a learned variance with it, stop the gradient at the mean
 * (Nichol and Dhariwal 2021, section 3.1).
 */
export async function boundTerm(
  process: GaussianDiffusion,
  reverse: ReverseStep,
  data: NdArray,
  x: NdArray,
  t: number,
): Promise<NdArray> {
  const { mean, logVariance } = await reverse(x, t)
  if (t === 0) return bitsEach(discretizedLogLikelihood(data, mean, logVariance).neg())
  const each = new Array<number>(x.shape[0] as number).fill(t)
  const posterior = process.posterior(data, x, each)
  return bitsEach(gaussianKl(posterior.mean, posterior.variance.log(), mean, logVariance))
}

/** KL of x_T from N(0, I), bits per dimension, one number a sample. */
export function priorTerm(process: GaussianDiffusion, data: NdArray): NdArray {
  const { alpha, sigma } = process.level(process.steps - 1)
  const logVar = data.mul(0).add(2 * Math.log(sigma))
  return bitsEach(gaussianKl(data.mul(alpha), logVar, data.mul(0), data.mul(0)))
}

/**
 * The whole bound in bits per dimension, one number a sample, with one draw of noise a term: an upper bound of −log₂ p(x).
 *
 * @param options.every of so many neighbouring terms one, drawn evenly, stands for all, and the mean stays what it is (1 unless
 *   told). Where terms change fast there are fewer to one: at most a tenth of their t.
 */
export async function variationalBound(
  process: GaussianDiffusion,
  reverse: ReverseStep,
  data: NdArray,
  generator: Generator,
  { every = 1 }: { readonly every?: number } = {},
): Promise<NdArray> {
  if (!(Number.isInteger(every) && every >= 1))
    throw new ArgumentError(`variationalBound: expected every to be a whole number ≥ 1, got ${every}`)
  const term = async (t: number) => {
    const x = process.addNoise(data, generator.randn(data.shape), new Array<number>(data.shape[0] as number).fill(t))
    return boundTerm(process, reverse, data, x, t)
  }
  let total = priorTerm(process, data)
  for (let top = process.steps, count = 1; top > 0; top -= count) {
    count = Math.min(every, Math.max(1, Math.floor(top / 10)))
    const t = count === 1 ? top - 1 : top - count + Math.floor(generator.rand([1]).item() * count)
    total = total.add((await term(t)).mul(count))
  }
  return total
}

/**
 * The bound K ≤ E log₂ p(x_0) of a continuous density, bits a sample (Sohl-Dickstein et al. 2015, eq. 14): −Σ_{t≥2} KL, and the
 * entropies H_q(X_T | X_0) − H_q(X_1 | X_0) − H_p(X_T). The last reverse step is the forward step, so the reverse is asked for
 * t ≥ 1 only (timesteps from 0). One draw of noise a term.
 */
export async function thermodynamicBound(
  process: GaussianDiffusion,
  reverse: ReverseStep,
  data: NdArray,
  generator: Generator,
): Promise<NdArray> {
  const size = data.size / (data.shape[0] as number)
  const entropy = (variance: number) => (size / 2) * Math.log2(2 * Math.PI * Math.E * variance)
  const last = process.level(process.steps - 1).sigma ** 2
  let kl: NdArray = data.mul(0).mean({ axes: data.shape.map((_, i) => i).slice(1) })
  for (let t = process.steps - 1; t >= 1; t--) {
    const x = process.addNoise(data, generator.randn(data.shape), new Array<number>(data.shape[0] as number).fill(t))
    kl = kl.add(await boundTerm(process, reverse, data, x, t))
  }
  return kl.mul(-size).add(entropy(last) - entropy(process.betas[0] as number) - entropy(1))
}
