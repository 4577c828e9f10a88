import { ArgumentError } from '../core/errors.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import type { Generator } from '../runtime/random.ts'

/** p(x_0 = k | x_t) of every token: x is [B, N] of token numbers, the result [B, N, K]. */
export type TokenDenoise = (x: NdArray, t: number) => Promise<NdArray> | NdArray

/** The index that a uniform u falls on in shares that need not sum to 1. */
export function pick(shares: ArrayLike<number>, u: number): number {
  let total = 0
  for (let j = 0; j < shares.length; j++) total += shares[j] as number
  let left = u * total
  for (let j = 0; j < shares.length; j++) {
    left -= shares[j] as number
    if (left < 0) return j
  }
  // Rounding may leave u beyond the sum: the last that can be drawn.
  let last = shares.length - 1
  while (last > 0 && !((shares[last] as number) > 0)) last--
  return last
}

/** Draws one of K per row of probabilities, [..., K] → [...]. Rows need not sum to 1. */
export function drawTokens(probabilities: NdArray, generator: Generator): NdArray {
  const k = probabilities.shape.at(-1) as number
  const { data } = probabilities.cast('f32')
  return generator.rand(probabilities.shape.slice(0, -1)).map((u, row) => pick(data.subarray(row * k, (row + 1) * k), u))
}

/** β_t = 1/(T − t), t = 0 … T − 1: every step masks the same share of the tokens (Austin et al. 2021, section 3.1; Sohl-Dickstein et al. 2015). */
export const evenBetas = (steps: number): Float64Array => Float64Array.from({ length: steps }, (_, t) => 1 / (steps - t))

/**
 * Discrete diffusion over K tokens, D3PM (Austin et al. 2021): each token is kept with probability 1 − β_t and else replaced, by a
 * token drawn evenly (`uniform`) or by the mask (`absorbing`, the last token, K − 1). Timesteps count from 0 to T − 1.
 */
export class DiscreteDiffusion {
  readonly kind: 'uniform' | 'absorbing'
  readonly tokens: number
  /** Share of tokens still their own after t + 1 steps. */
  readonly kept: Float64Array

  /** `betas` as in Gaussian diffusion, or `evenBetas`. */
  constructor(kind: 'uniform' | 'absorbing', tokens: number, betas: ArrayLike<number>) {
    const bad = Array.from(betas).findIndex((b) => !(b > 0 && b <= 1))
    if (bad >= 0) throw new ArgumentError(`DiscreteDiffusion: betas[${bad}] is ${betas[bad]}; expected 0 < β ≤ 1`)
    if (!(Number.isInteger(tokens) && tokens >= 2))
      throw new ArgumentError(`DiscreteDiffusion: expected at least 2 tokens, got ${tokens}`)
    this.kind = kind
    this.tokens = tokens
    let product = 1
    this.kept = Float64Array.from(betas, (beta) => {
      product *= 1 - beta
      return product
    })
  }

  get steps(): number {
    return this.kept.length
  }

  /** What a replaced token becomes, with which probability. */
  private renewal(token: number): number {
    return this.kind === 'uniform' ? 1 / this.tokens : token === this.tokens - 1 ? 1 : 0
  }

  /** q(x_t = to | x_s = from) for s < t; s = −1 is the data. */
  transition(from: number, to: number, s: number, t: number): number {
    const start = s < 0 ? 1 : (this.kept[s] as number)
    const share = start === 0 ? 0 : (this.kept[t] as number) / start
    return (from === to ? share : 0) + (1 - share) * this.renewal(to)
  }

  /** Draws x_t given x_0, token numbers of any shape. */
  addNoise(data: NdArray, t: number, generator: Generator): NdArray {
    const stays = generator.rand(data.shape).data
    const fresh = generator.rand(data.shape).data
    return data.map((token, i) => {
      if ((stays[i] as number) < (this.kept[t] as number)) return token
      return this.kind === 'absorbing'
        ? this.tokens - 1
        : Math.min(this.tokens - 1, Math.floor((fresh[i] as number) * this.tokens))
    })
  }

  /** Pure noise, [B, N]. */
  noise(shape: readonly number[], generator: Generator): NdArray {
    return generator
      .rand(shape)
      .map((u) => (this.kind === 'absorbing' ? this.tokens - 1 : Math.min(this.tokens - 1, Math.floor(u * this.tokens))))
  }

  /**
   * p(x_s | x_t) = Σ_k q(x_s | x_t, x_0 = k) p(x_0 = k | x_t) for one token (Austin et al. 2021, eq. 4); `data` are the
   * probabilities of its clean value. s may be any earlier step, −1 for the data itself.
   */
  reverse(now: number, data: ArrayLike<number>, s: number, t: number): number[] {
    const out = new Array<number>(this.tokens).fill(0)
    for (let k = 0; k < this.tokens; k++) {
      const weight = data[k] as number
      if (weight === 0) continue
      const evidence = this.transition(k, now, -1, t)
      if (evidence === 0) continue
      for (let j = 0; j < this.tokens; j++) {
        const before = s < 0 ? (j === k ? 1 : 0) : this.transition(k, j, -1, s)
        out[j] = (out[j] as number) + (weight * before * this.transition(j, now, s, t)) / evidence
      }
    }
    const total = out.reduce((a, b) => a + b, 0)
    // The predicted shares leave no way to this token: nothing that they allow can have led here. It stays as it is.
    if (!(total > 0)) return out.map((_, j) => (j === now ? 1 : 0))
    return out.map((p) => p / total)
  }

  /** One reverse step of every token from t to s: x is [B, N], `data` [B, N, K]. */
  step(x: NdArray, data: NdArray, s: number, t: number, generator: Generator): NdArray {
    const u = generator.rand(x.shape).data
    const { data: shares } = data.cast('f32')
    return x.map((now, i) =>
      pick(this.reverse(now, shares.subarray(i * this.tokens, (i + 1) * this.tokens), s, t), u[i] as number),
    )
  }

  /** Samples [B, N] in `steps` even strides, yielding x_t before each (Austin et al. 2021, Algorithm 2 with strides). */
  async *sample(
    denoise: TokenDenoise,
    shape: readonly number[],
    generator: Generator,
    steps = this.steps,
  ): AsyncGenerator<{ t: number; x: NdArray }, NdArray, void> {
    if (!(Number.isInteger(steps) && steps >= 1 && steps <= this.steps))
      throw new ArgumentError(`steps: expected 1 … ${this.steps}, got ${steps}`)
    const times = Array.from({ length: steps + 1 }, (_, i) => Math.round((this.steps * (steps - i)) / steps) - 1)
    let x = this.noise(shape, generator)
    for (let i = 0; i < steps; i++) {
      const [t, s] = [times[i] as number, times[i + 1] as number]
      yield { t, x }
      x = this.step(x, await denoise(x, t), s, t, generator)
    }
    return x
  }

  /** KL(q(x_{t−1} | x_t, x_0) ‖ p) of one token, nats; for t = 0 it is −ln p(x_0 | x_1) (Austin et al. 2021, eq. 1). */
  boundTerm(now: number, token: number, data: ArrayLike<number>, t: number): number {
    const p = this.reverse(now, data, t - 1, t)
    const exact = new Array<number>(this.tokens).fill(0)
    exact[token] = 1
    const q = this.reverse(now, exact, t - 1, t)
    return q.reduce((sum, share, j) => (share > 0 ? sum + share * Math.log(share / Math.max(p[j] as number, 1e-30)) : sum), 0)
  }

  /**
   * What training minimises for one token at one t (Austin et al. 2021, eq. 5): the term of the bound, and `auxiliary` times −ln p(x_0 | x_t), by
   * which networks learn faster (0.001 in the paper's pictures, 0.01 in its texts).
   */
  trainingTerm(now: number, token: number, data: ArrayLike<number>, t: number, auxiliary = 0.01): number {
    return this.boundTerm(now, token, data, t) - auxiliary * Math.log(Math.max(data[token] as number, 1e-30))
  }

  /** KL(q(x_T | x_0) ‖ noise) of one token, nats: what the bound has beside its terms; 0 if the last step keeps nothing. */
  priorTerm(token: number): number {
    let sum = 0
    for (let to = 0; to < this.tokens; to++) {
      const share = this.transition(token, to, -1, this.steps - 1)
      if (share > 0) sum += share * Math.log(share / this.renewal(to))
    }
    return sum
  }
}
