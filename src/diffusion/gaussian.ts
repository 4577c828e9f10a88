import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { alphasCumprod } from './betas.ts'
import { type Level, levelOf, vp } from './paths.ts'
import { type Prediction, targetOf } from './predictions.ts'

/** A Gaussian in every element: mean, and a variance per sample, [B, 1, …]. */
export interface Gaussian {
  readonly mean: NdArray
  readonly variance: NdArray
}

/**
 * Discrete Gaussian diffusion (Sohl-Dickstein et al. 2015; Ho et al. 2020): q(x_t | x_0) = N(√ᾱ_t x_0, (1 − ᾱ_t) I).
 * Timesteps count from 0 to T − 1. Samples are [B, …] and every sample has its own t.
 */
export class GaussianDiffusion {
  readonly betas: Float32Array
  readonly alphasCumprod: Float32Array

  constructor(betas: Float32Array) {
    const bad = betas.findIndex((b) => !(b > 0 && b <= 1))
    if (bad >= 0) throw new ArgumentError(`GaussianDiffusion: betas[${bad}] is ${betas[bad]}; expected 0 < β ≤ 1`)
    this.betas = betas
    this.alphasCumprod = alphasCumprod(betas)
  }

  get steps(): number {
    return this.betas.length
  }

  /** The noise level of a timestep on the variance-preserving path. */
  level(t: number): Level {
    const bar = this.alphasCumprod[t]
    if (bar === undefined) throw new ArgumentError(`timestep ${t} is outside 0 … ${this.steps - 1}`)
    return levelOf(vp, Math.sqrt(1 - bar))
  }

  /** x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε (Ho et al. 2020, eq. 4). */
  addNoise(data: NdArray, noise: NdArray, t: readonly number[]): NdArray {
    return data.mul(this.column(t, data, (l) => l.alpha)).add(noise.mul(this.column(t, data, (l) => l.sigma)))
  }

  /** What the network should predict at t. */
  target(prediction: Prediction, data: NdArray, noise: NdArray, t: readonly number[]): NdArray {
    const rows = t.map((ti, i) => targetOf(prediction, data.slice(0, i, i + 1), noise.slice(0, i, i + 1), this.level(ti)))
    return NdArray.concat(rows)
  }

  /** q(x_{t−1} | x_t, x_0) (Ho et al. 2020, eqs. 6 and 7). */
  posterior(data: NdArray, x: NdArray, t: readonly number[]): Gaussian {
    const bar = (i: number) => (i < 0 ? 1 : (this.alphasCumprod[i] as number))
    const of = (f: (beta: number, bar: number, before: number) => number) =>
      this.column(t, x, (_, i) => f(this.betas[i] as number, bar(i), bar(i - 1)))
    return {
      mean: data
        .mul(of((beta, now, before) => (Math.sqrt(before) * beta) / (1 - now)))
        .add(x.mul(of((beta, now, before) => (Math.sqrt(1 - beta) * (1 - before)) / (1 - now)))),
      variance: of((beta, now, before) => (beta * (1 - before)) / (1 - now)),
    }
  }

  /** L_simple: the mean squared error of a prediction, one number per sample (Ho et al. 2020, eq. 14). */
  lossSimple(output: NdArray, target: NdArray): NdArray {
    const axes = output.shape.map((_, i) => i).slice(1)
    return output.sub(target).square().mean({ axes })
  }

  /** A number for every sample's t, shaped [B, 1, …] to broadcast against x. */
  private column(t: readonly number[], x: NdArray, f: (level: Level, t: number) => number): NdArray {
    if (t.length !== x.shape[0]) throw new ArgumentError(`expected one timestep a sample: ${t.length} for ${x.shape[0]} samples`)
    return NdArray.from(t.map((ti) => f(this.level(ti), ti))).reshape([t.length, ...new Array(x.shape.length - 1).fill(1)])
  }
}
