import { ArgumentError } from '../core/errors.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import type { Generator } from '../runtime/random.ts'

/** Probability, for every bit of x at step t (2 … T), that the bit one step before is 1. x is [B, n] of 0 and 1. */
export type BitFlip = (x: NdArray, t: number) => Promise<NdArray> | NdArray

const entropy = (p: number): number => (p <= 0 || p >= 1 ? 0 : -p * Math.log2(p) - (1 - p) * Math.log2(1 - p))
const kl = (p: number, q: number): number =>
  (p > 0 ? p * Math.log2(p / q) : 0) + (p < 1 ? (1 - p) * Math.log2((1 - p) / (1 - q)) : 0)

/**
 * Binomial diffusion (Sohl-Dickstein et al. 2015, appendix B): each bit is kept with probability 1 − β_t and else drawn anew as 1
 * with probability π. β_t = 1/(T − t + 1) takes the same share of bits away every step. Steps count from 1 to T, as in the paper.
 */
export class BinomialDiffusion {
  readonly steps: number
  /** Probability of 1 in pure noise. */
  readonly rate: number

  constructor(steps: number, rate = 0.5) {
    if (!(Number.isInteger(steps) && steps >= 2))
      throw new ArgumentError(`BinomialDiffusion: expected at least 2 steps, got ${steps}`)
    if (!(rate > 0 && rate < 1)) throw new ArgumentError(`BinomialDiffusion: expected 0 < rate < 1, got ${rate}`)
    this.steps = steps
    this.rate = rate
  }

  /** β_t. The paper's schedule. */
  beta(t: number): number {
    return 1 / (this.steps - t + 1)
  }

  /** Probability that a bit at step t is still the data's: Π (1 − β) = (T − t)/T. */
  kept(t: number): number {
    return (this.steps - t) / this.steps
  }

  /** q(x_t = 1 | x_0) of a bit. */
  marginal(bit: number, t: number): number {
    return this.kept(t) * bit + (1 - this.kept(t)) * this.rate
  }

  /** Draws x_t given x_0, [B, n]. */
  addNoise(data: NdArray, t: number, generator: Generator): NdArray {
    const u = generator.rand(data.shape).data
    return data.map((bit, i) => ((u[i] as number) < this.marginal(bit, t) ? 1 : 0))
  }

  /** q(x_{t−1} = 1 | x_t, x_0) of a bit, by Bayes' rule. */
  posterior(now: number, bit: number, t: number): number {
    const before = this.marginal(bit, t - 1)
    const beta = this.beta(t)
    // q(x_t = now | x_{t−1}): the bit was kept, or drawn anew.
    const likely = (previous: number) => {
      const one = previous * (1 - beta) + beta * this.rate
      return now === 1 ? one : 1 - one
    }
    const [one, zero] = [before * likely(1), (1 - before) * likely(0)]
    return one / (one + zero)
  }

  /** The forward step seen backwards from pure noise: the reverse's first guess and its last step, q(x_1 | x_0) as p(x_0 | x_1). */
  lastStep(x: NdArray): NdArray {
    return x.map((bit) => bit * (1 - this.beta(1)) + this.beta(1) * this.rate)
  }

  /** Samples from the reverse chain, yielding x_t before every step. */
  async *sample(
    flip: BitFlip,
    count: number,
    size: number,
    generator: Generator,
  ): AsyncGenerator<{ t: number; x: NdArray }, NdArray, void> {
    let x: NdArray = generator.rand([count, size]).map((u) => (u < this.rate ? 1 : 0))
    for (let t = this.steps; t >= 1; t--) {
      yield { t, x }
      const p = t === 1 ? this.lastStep(x) : await flip(x, t)
      const u = generator.rand(x.shape).data
      x = p.map((q, i) => ((u[i] as number) < q ? 1 : 0))
    }
    return x
  }

  /** −E KL(q(x_{t−1} | x_t, x_0) ‖ p) of one step t ≥ 2, bits a sample, with one draw of x_t. */
  async boundTerm(flip: BitFlip, data: NdArray, t: number, generator: Generator): Promise<NdArray> {
    const x = this.addNoise(data, t, generator)
    const p = await flip(x, t)
    const each = data.map(
      (bit, i) => -kl(this.posterior(x.data[i] as number, bit, t), Math.min(Math.max(p.data[i] as number, 1e-6), 1 - 1e-6)),
    )
    return each.sum({ axes: [1] })
  }

  /** The terms of K that no network changes, bits a sample: H_q(X_T | X_0) − H_q(X_1 | X_0) − H_p(X_T). */
  entropies(data: NdArray): NdArray {
    const [last, first] = [
      (bit: number) => entropy(this.marginal(bit, this.steps)),
      (bit: number) => entropy(this.marginal(bit, 1)),
    ]
    return data.map((bit) => last(bit) - first(bit) - entropy(this.rate)).sum({ axes: [1] })
  }

  /**
   * The bound K ≤ E log₂ p(x_0), bits a sample (Sohl-Dickstein et al. 2015, eq. 14). All steps by default; `terms` of them chosen
   * at random give an unbiased estimate.
   */
  async bound(flip: BitFlip, data: NdArray, generator: Generator, terms = this.steps - 1): Promise<NdArray> {
    const every = terms >= this.steps - 1
    const chosen = every
      ? Array.from({ length: this.steps - 1 }, (_, i) => i + 2)
      : Array.from(generator.randint(2, this.steps + 1, [terms]).data, Number)
    let sum: NdArray = this.entropies(data).mul(0)
    for (const t of chosen) sum = sum.add(await this.boundTerm(flip, data, t, generator))
    return sum.mul((this.steps - 1) / chosen.length).add(this.entropies(data))
  }
}
