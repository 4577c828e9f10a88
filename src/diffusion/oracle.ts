import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { Generator } from '../runtime/random.ts'
import type { Denoise } from './denoiser.ts'
import { type Level, levelOf, type Path, ve } from './paths.ts'

/** One Gaussian of a mixture: N(mean, std² I) with a weight, and the class it stands for. */
export interface Component {
  readonly weight: number
  readonly mean: readonly number[]
  readonly std: number
  readonly label?: number
}

/**
 * The oracle: for data from Σ w_k N(m_k, s_k² I), the noised data is Σ w_k N(αm_k, (α²s_k² + σ²) I), so that the best denoiser,
 * the score, the density and the class posterior are closed forms. Test samplers, guidance and likelihoods against it before a
 * network. Samples are [B, …] with as many numbers each as the means have; sums are in float64.
 */
export class GaussianMixture {
  readonly components: readonly Component[]
  readonly size: number

  constructor(components: readonly Component[]) {
    const size = components[0]?.mean.length ?? 0
    const total = components.reduce((sum, { weight }) => sum + weight, 0)
    const bad = components.find((c) => c.mean.length !== size || !(c.std >= 0) || !(c.weight > 0))
    if (size === 0 || bad)
      throw new ArgumentError(`GaussianMixture: expected means of one length ≥ 1, std ≥ 0, weights > 0: ${JSON.stringify(bad)}`)
    this.components = components.map((c) => ({ ...c, weight: c.weight / total }))
    this.size = size
  }

  /** Draws clean data, [count, size]; the class labels with it when asked for by `labels`. */
  sample(count: number, generator: Generator, labels: number[] = []): NdArray {
    const chosen = generator.rand([count]).data
    const noise = generator.randn([count, this.size])
    return noise.map((z, i) => {
      const row = Math.floor(i / this.size)
      const { mean, std, label } = this.at(chosen[row] as number)
      labels[row] = label ?? 0
      return (mean[i % this.size] as number) + std * z
    })
  }

  /** The components of one class, as a mixture of its own: the exact conditional. */
  given(label: number): GaussianMixture {
    const chosen = this.components.filter((c) => (c.label ?? 0) === label)
    if (chosen.length === 0) throw new ArgumentError(`GaussianMixture: no component has label ${label}`)
    return new GaussianMixture(chosen)
  }

  /** The best denoiser of a path: E[x0 | x] = Σ r_k (m_k + αs_k²/v_k (x − αm_k)). */
  denoiser(path: Path = ve): Denoise {
    return (x, sigma) => this.mean(x, levelOf(path, sigma))
  }

  mean(x: NdArray, level: Level): NdArray {
    return this.rows(x, level, (shares, row, out) => {
      for (const [k, { mean, std }] of this.components.entries()) {
        const pull = (level.alpha * std ** 2) / this.variance(k, level)
        for (let j = 0; j < this.size; j++) {
          const m = mean[j] as number
          out[j] = (out[j] as number) + (shares[k] as number) * (m + pull * ((row[j] as number) - level.alpha * m))
        }
      }
    })
  }

  /** ∇ ln p(x) at a level. */
  score(x: NdArray, level: Level): NdArray {
    return this.rows(x, level, (shares, row, out) => {
      for (const [k, { mean }] of this.components.entries())
        for (let j = 0; j < this.size; j++)
          out[j] =
            (out[j] as number) +
            ((shares[k] as number) * (level.alpha * (mean[j] as number) - (row[j] as number))) / this.variance(k, level)
    })
  }

  /** ln p(x) at a level, one number a sample, in nats. */
  logDensity(x: NdArray, level: Level): number[] {
    return this.split(x).map((row) => logSum(this.logJoint(row, level)))
  }

  /** p(label | x) at a level, one number a sample. */
  classPosterior(x: NdArray, level: Level, label: number): number[] {
    return this.split(x).map((row) => {
      const joint = this.logJoint(row, level)
      const own = joint.filter((_, k) => (this.components[k]?.label ?? 0) === label)
      return Math.exp(logSum(own) - logSum(joint))
    })
  }

  /** ∇ ln p(label | x) at a level: what a perfect noise-conditional classifier's gradient is. */
  classScore(x: NdArray, level: Level, label: number): NdArray {
    return this.given(label).score(x, level).sub(this.score(x, level))
  }

  private at(u: number): Component {
    let sum = 0
    for (const component of this.components) {
      sum += component.weight
      if (u < sum) return component
    }
    return this.components.at(-1) as Component
  }

  private variance(k: number, { alpha, sigma }: Level): number {
    return (alpha * (this.components[k] as Component).std) ** 2 + sigma ** 2
  }

  private logJoint(row: Float32Array, { alpha, sigma }: Level): Float64Array {
    const out = new Float64Array(this.components.length)
    // Plain loops: samplers spend their time here.
    for (const [k, { weight, mean, std }] of this.components.entries()) {
      const variance = (alpha * std) ** 2 + sigma ** 2
      let square = 0
      for (let j = 0; j < this.size; j++) square += ((row[j] as number) - alpha * (mean[j] as number)) ** 2
      out[k] = Math.log(weight) - 0.5 * (square / variance + this.size * Math.log(2 * Math.PI * variance))
    }
    return out
  }

  private split(x: NdArray): Float32Array[] {
    const { data } = x.cast('f32')
    if (data.length % this.size !== 0)
      throw new ArgumentError(`GaussianMixture: [${x.shape.join(', ')}] is no number of samples of ${this.size}`)
    return Array.from({ length: data.length / this.size }, (_, i) => data.subarray(i * this.size, (i + 1) * this.size))
  }

  private rows(x: NdArray, level: Level, fill: (shares: Float64Array, row: Float32Array, out: Float64Array) => void): NdArray {
    const result = NdArray.zeros(x.shape)
    for (const [i, row] of this.split(x).entries()) {
      const joint = this.logJoint(row, level)
      const total = logSum(joint)
      const out = new Float64Array(this.size)
      fill(
        joint.map((l) => Math.exp(l - total)),
        row,
        out,
      )
      result.data.set(out, i * this.size)
    }
    return result
  }
}

function logSum(logs: Float64Array): number {
  const max = logs.reduce((a, b) => Math.max(a, b), -Infinity)
  return max === -Infinity ? max : max + Math.log(logs.reduce((sum, l) => sum + Math.exp(l - max), 0))
}
