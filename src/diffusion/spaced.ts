import { ArgumentError } from '../core/errors.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import { NonFiniteError, type Sampling } from './denoiser.ts'
import { roundHalfEven } from './spacing.ts'

/**
 * Timesteps of 0 … T − 1 that a run keeps, rising, as OpenAI's programs write them (Nichol and Dhariwal 2021, section 4): `10,10,3,2,2` so
 * many of equal stretches, `ddim50` at one whole stride, `fast27` GLIDE's 27, whose noisiest is two earlier than the last.
 *
 * @throws ArgumentError for what is none of these, or more steps than there are
 */
export function spacedTimesteps(trainSteps: number, spacing: string): number[] {
  if (spacing === 'fast27') {
    const last = trainSteps - 1
    return [...spacedTimesteps(trainSteps, '10,10,3,2,2').filter((t) => t !== last), last - 2]
  }
  const [, strided] = /^ddim(\d+)$/.exec(spacing) ?? []
  if (strided !== undefined) {
    for (let stride = 1; stride < trainSteps; stride++)
      if (Math.ceil(trainSteps / stride) === Number(strided)) return Array.from({ length: Number(strided) }, (_, i) => i * stride)
    throw new ArgumentError(`spacing: no whole stride makes ${strided} of ${trainSteps} timesteps`)
  }
  if (!/^[1-9]\d*(,[1-9]\d*)*$/.test(spacing))
    throw new ArgumentError(
      `spacing: ${JSON.stringify(spacing)} is none; give numbers as 100 or 10,10,3,2,2, or ddim50, or fast27`,
    )
  const counts = spacing.split(',').map(Number)
  const [size, extra] = [Math.floor(trainSteps / counts.length), trainSteps % counts.length]
  let start = 0
  return counts.flatMap((count, i) => {
    const own = size + (i < extra ? 1 : 0)
    if (count > own) throw new ArgumentError(`spacing: ${count} steps of a stretch of ${own}`)
    const stride = count <= 1 ? 1 : (own - 1) / (count - 1)
    const from = start
    start += own
    let at = 0
    return Array.from({ length: count }, () => {
      const t = from + roundHalfEven(at)
      at += stride
      return t
    })
  })
}

/** What a network says of a state at a timestep: its noise, and where between the least and the largest the variance lies, −1 … 1. */
export interface NoiseAndVariance {
  readonly noise: NdArray
  readonly variance: NdArray
}

export interface SpacedOptions {
  /** Rising timesteps that are kept, and ᾱ of all. */
  readonly timesteps: readonly number[]
  readonly alphaBars: Float32Array | Float64Array
  /** Ancestral sampling with the learned variance, or DDIM without noise. */
  readonly sampler: 'ancestral' | 'ddim'
  /** Noise of the state's shape. It is drawn at every step, used or not, as in the reference. */
  readonly draw: () => NdArray
  /** Puts what is known into the predicted data, before it is clipped to [−1, 1]. */
  readonly known?: ((data: NdArray) => NdArray) | undefined
  /** ∇ₓ ln p(y | x) at a state, as a noised CLIP gives it. */
  readonly gradient?: ((x: NdArray, t: number) => Promise<NdArray>) | undefined
}

/**
 * Sampling over some of a process's timesteps, whose betas are made anew from ᾱ (Nichol and Dhariwal 2021, eq. 19): as GLIDE's and
 * guided-diffusion's programs. A gradient moves the mean by the variance (Dhariwal and Nichol 2021, Algorithm 1) or, with DDIM, the
 * noise (Algorithm 2).
 */
export async function* spacedSampling(
  predict: (x: NdArray, t: number) => Promise<NoiseAndVariance>,
  x: NdArray,
  { timesteps, alphaBars, sampler, draw, known = (data) => data, gradient }: SpacedOptions,
): Sampling {
  const bars = timesteps.map((t) => alphaBars[t] as number)
  const beta = (i: number) => 1 - (bars[i] as number) / (bars[i - 1] ?? 1)
  const posterior = (i: number) => (beta(i) * (1 - (bars[i - 1] ?? 1))) / (1 - (bars[i] as number))
  for (let i = timesteps.length - 1; i >= 0; i--) {
    const [t, bar, before] = [timesteps[i] as number, bars[i] as number, bars[i - 1] ?? 1]
    const { noise, variance } = await predict(x, t)
    if (!noise.allFinite()) throw new NonFiniteError(timesteps.length - 1 - i, `t = ${t}`)
    const [share, rest] = [Math.sqrt(1 / bar), Math.sqrt(1 / bar - 1)]
    let data = known(x.mul(share).sub(noise.mul(rest))).clamp(-1, 1)
    yield { i: timesteps.length - 1 - i, sigma: Math.sqrt(1 - bar), x, denoised: data }
    if (sampler === 'ddim') {
      let own = x.mul(share).sub(data).div(rest)
      if (gradient) {
        own = own.sub((await gradient(x, t)).mul(Math.sqrt(1 - bar)))
        data = x.mul(share).sub(own.mul(rest))
      }
      draw()
      x = data.mul(Math.sqrt(before)).add(own.mul(Math.sqrt(1 - before)))
      continue
    }
    // The least variance of the first step is 0, whose logarithm is that of the second's.
    const least = Math.log(posterior(timesteps.length > 1 ? Math.max(i, 1) : i))
    const logVariance = variance
      .add(1)
      .div(2)
      .mul(Math.log(beta(i)) - least)
      .add(least)
    const mean = data
      .mul((beta(i) * Math.sqrt(before)) / (1 - bar))
      .add(x.mul(((1 - before) * Math.sqrt(1 - beta(i))) / (1 - bar)))
    const moved = gradient ? mean.add((await gradient(x, t)).mul(logVariance.exp())) : mean
    const fresh = draw()
    x = i === 0 ? moved : moved.add(logVariance.mul(0.5).exp().mul(fresh))
  }
  return x
}
