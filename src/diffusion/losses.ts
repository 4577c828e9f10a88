import { ArgumentError } from '../core/errors.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import type { Generator } from '../runtime/random.ts'
import type { Level } from './paths.ts'
import type { Prediction } from './predictions.ts'
import type { Sde } from './sde.ts'

/** Signal-to-noise ratio α²/σ². */
export const snr = ({ alpha, sigma }: Level): number => (alpha / sigma) ** 2

/** How ‖x0 − D‖² becomes the squared error of what a network predicts: that error's weight per unit of data error. */
export function predictionWeight(prediction: Prediction, level: Level): number {
  switch (prediction) {
    case 'sample':
      return 1
    case 'epsilon':
      return snr(level)
    case 'v_prediction':
      return snr(level) + 1
    case 'flow_prediction':
      return ((level.alpha + level.sigma) / level.sigma) ** 2
    case 'score':
      return snr(level) / level.sigma ** 2
  }
}

/**
 * Min-SNR-γ: min(SNR, γ) on the data's error, as a weight on the prediction's (Hang et al. 2023, section 3.4). A `raise` of 1
 * puts SNR + 1 in its place, as diffusers' trainers do for velocities: noise alone, where SNR is 0, then counts as well.
 */
export function minSnrWeight(prediction: Prediction, level: Level, gamma = 5, raise = 0): number {
  return Math.min(snr(level) + raise, gamma) / predictionWeight(prediction, level)
}

/** P2: 1/(k + SNR)^γ on the noise's error (Choi et al. 2022, eq. 8), as a weight on the prediction's. */
export function p2Weight(prediction: Prediction, level: Level, { gamma = 1, k = 1 } = {}): number {
  return snr(level) / (k + snr(level)) ** gamma / predictionWeight(prediction, level)
}

/**
 * Denoising score matching at time t, as the weight on ‖s + z/σ‖²: σ² makes every time count alike, g² bounds the likelihood
 * (Song et al. 2021, eq. 7; Song et al. 2021b, theorem 1).
 */
export function scoreMatchingWeight(sde: Sde, t: number, kind: 'variance' | 'likelihood'): number {
  return kind === 'variance' ? sde.sigma(t) ** 2 : sde.diffusion(t)
}

/** Where training times are drawn from, for flows and EDM. */
export type TimeDensity =
  | { readonly kind: 'uniform'; readonly min?: number; readonly max?: number }
  /** sigmoid(N(mean, std²)): Esser et al. 2024, eq. 19. */
  | { readonly kind: 'logit-normal'; readonly mean?: number; readonly std?: number }
  /** Esser et al. 2024, eq. 20, −1 ≤ scale ≤ 1.75. */
  | { readonly kind: 'mode'; readonly scale: number }
  /** Esser et al. 2024, eq. 21: the cosine schedule's levels on a flow. */
  | { readonly kind: 'cosmap' }
  /** ln σ ~ N(mean, std²): Karras et al. 2022, table 1. */
  | { readonly kind: 'log-normal'; readonly mean?: number; readonly std?: number }

/** `count` training times or levels. */
export function drawTimes(density: TimeDensity, count: number, generator: Generator): NdArray {
  switch (density.kind) {
    case 'uniform': {
      const { min = 0, max = 1 } = density
      return generator
        .rand([count])
        .mul(max - min)
        .add(min)
    }
    case 'logit-normal': {
      const { mean = 0, std = 1 } = density
      return generator.randn([count]).map((z) => 1 / (1 + Math.exp(-(mean + std * z))))
    }
    case 'mode':
      if (!(density.scale >= -1 && density.scale <= 2 / (Math.PI - 2)))
        throw new ArgumentError(`mode: scale is ${density.scale}; expected −1 … 1.75, where times follow from u alone`)
      return generator.rand([count]).map((u) => 1 - u - density.scale * (Math.cos((Math.PI / 2) * u) ** 2 - 1 + u))
    case 'cosmap':
      return generator.rand([count]).map((u) => 1 - 1 / (Math.tan((Math.PI / 2) * u) + 1))
    case 'log-normal': {
      const { mean = -1.2, std = 1.2 } = density
      return generator.randn([count]).map((z) => Math.exp(mean + std * z))
    }
  }
}

/** Timesteps drawn in proportion to the root of their loss's second moment: Nichol and Dhariwal 2021, section 3.3. */
export class LossSecondMoment {
  private readonly losses: number[][]
  private readonly history: number
  private readonly uniform: number

  constructor(steps: number, { history = 10, uniform = 0.001 } = {}) {
    if (!(Number.isInteger(steps) && steps > 0)) throw new ArgumentError(`LossSecondMoment: expected steps ≥ 1, got ${steps}`)
    this.losses = Array.from({ length: steps }, () => [])
    this.history = history
    this.uniform = uniform
  }

  /** p(t); uniform until every timestep has its history. */
  probabilities(): number[] {
    const steps = this.losses.length
    if (this.losses.some((l) => l.length < this.history)) return new Array<number>(steps).fill(1 / steps)
    const roots = this.losses.map((l) => Math.sqrt(l.reduce((sum, v) => sum + v * v, 0) / l.length))
    const total = roots.reduce((a, b) => a + b, 0)
    if (total === 0) return new Array<number>(steps).fill(1 / steps)
    return roots.map((r) => (r / total) * (1 - this.uniform) + this.uniform / steps)
  }

  /** Timesteps, and the weights 1/(T·p(t)) that keep the loss unbiased. */
  draw(count: number, generator: Generator): { readonly t: number[]; readonly weights: number[] } {
    const p = this.probabilities()
    const t = Array.from(generator.rand([count]).data, (u) => {
      let sum = 0
      const found = p.findIndex((share) => {
        sum += share
        return u < sum
      })
      return found < 0 ? p.length - 1 : found
    })
    return { t, weights: t.map((i) => 1 / (p.length * (p[i] as number))) }
  }

  /** Takes note of losses, one a timestep drawn. */
  update(t: readonly number[], losses: readonly number[]): void {
    for (const [i, ti] of t.entries()) {
      const own = this.losses[ti]
      if (!own) throw new ArgumentError(`timestep ${ti} is outside 0 … ${this.losses.length - 1}`)
      own.push(losses[i] as number)
      if (own.length > this.history) own.shift()
    }
  }
}

/** How many levels consistency training uses after a share of its steps, doubling (Song and Dhariwal 2024, eq. 8). */
export function consistencyLevels(share: number, { first = 10, last = 1280 } = {}): number {
  const doublings = Math.floor(Math.log2(last / first)) + 1
  return Math.min(first * 2 ** Math.floor(share * doublings), last) + 1
}

/** Pseudo-Huber distance √(‖a − b‖² + c²) − c, one number a sample; c defaults to 0.00054√n (Song and Dhariwal 2024, eq. 9). */
export function pseudoHuber(a: NdArray, b: NdArray, c?: number): NdArray {
  const axes = a.shape.map((_, i) => i).slice(1)
  const scale = c ?? 0.00054 * Math.sqrt(a.size / (a.shape[0] as number))
  return a
    .sub(b)
    .square()
    .sum({ axes })
    .map((square) => Math.sqrt(square + scale * scale) - scale)
}

/**
 * The pair that consistency distillation compares: data noised to σ, and that carried to σ' < σ by one Heun step of the teacher
 * (Song et al. 2023, Algorithm 2). The loss weighs their distance by 1/(σ − σ').
 */
export async function consistencyPair(
  teacher: (x: NdArray, sigma: number) => Promise<NdArray> | NdArray,
  x: NdArray,
  sigma: number,
  next: number,
): Promise<{ readonly from: NdArray; readonly to: NdArray; readonly weight: number }> {
  const slope = x.sub(await teacher(x, sigma)).div(sigma)
  const guess = x.add(slope.mul(next - sigma))
  const again = guess.sub(await teacher(guess, next)).div(next)
  return { from: x, to: x.add(slope.add(again).mul((next - sigma) / 2)), weight: 1 / (sigma - next) }
}
