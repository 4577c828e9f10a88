import { ArgumentError } from '../../core/errors.ts'
import type { Draw } from '../stickers/draw.ts'

/** A blur's weights, [size, size] row by row, whose sum is 1. */
export interface BlurKernel {
  readonly size: number
  readonly weights: Float64Array
}

/** The spread of a bell along its own axes, in pixels, and by how much these are turned, in radians. */
export interface Spread {
  readonly sigmaX: number
  readonly sigmaY: number
  readonly theta: number
}

/** Weights by their place, counted from the middle, brought to a sum of 1. */
function kernel(size: number, at: (x: number, y: number) => number): BlurKernel {
  if (!Number.isInteger(size) || size < 1 || size % 2 === 0)
    throw new ArgumentError(`a blur's kernel of ${size} pixels a side: expected an odd number`)
  const middle = (size - 1) / 2
  const weights = Float64Array.from({ length: size * size }, (_, i) => at((i % size) - middle, Math.floor(i / size) - middle))
  const sum = weights.reduce((total, weight) => total + weight, 0)
  return { size, weights: weights.map((weight) => weight / sum) }
}

/** xᵀ Σ⁻¹ x, of the place's distance from the middle in units of the spread. */
function distance({ sigmaX, sigmaY, theta }: Spread): (x: number, y: number) => number {
  const [cos, sin] = [Math.cos(theta), Math.sin(theta)]
  return (x, y) => ((cos * x + sin * y) / sigmaX) ** 2 + ((cos * y - sin * x) / sigmaY) ** 2
}

/** A bell: exp(−½ dᵝ), d the distance above. `beta` 1 is Gauss's, below it is peaked, above it flat (Liu et al. 2020, section 3.1). */
export function bell(size: number, spread: Spread, beta = 1): BlurKernel {
  const d = distance(spread)
  return kernel(size, (x, y) => Math.exp(-0.5 * d(x, y) ** beta))
}

/** A plateau: 1/(1 + dᵝ). */
export function plateau(size: number, spread: Spread, beta: number): BlurKernel {
  const d = distance(spread)
  return kernel(size, (x, y) => 1 / (1 + d(x, y) ** beta))
}

/** The low-pass filter that lets through what turns by less than `cutoff` radians a pixel, in every direction (Wang et al. 2021, eq. 6): it rings. */
export const sinc = (size: number, cutoff: number): BlurKernel =>
  kernel(size, (x, y) => {
    const r = Math.hypot(x, y)
    return r === 0 ? cutoff ** 2 / (4 * Math.PI) : (cutoff * besselJ1(cutoff * r)) / (2 * Math.PI * r)
  })

/** Points of Bessel's integral. The rule of equal weights is exact to rounding from 2·x points on, and x is at most 14·√2·π here. */
const POINTS = 256

/** J₁(x) = 1/π ∫ cos(τ − x sin τ) dτ from 0 to π. */
function besselJ1(x: number): number {
  let sum = 0
  for (let i = 0; i < POINTS; i++) {
    const tau = (2 * Math.PI * (i + 0.5)) / POINTS
    sum += Math.cos(tau - x * Math.sin(tau))
  }
  return sum / POINTS
}

/** Zeros around a kernel up to `size`. */
export function padded({ size: own, weights }: BlurKernel, size: number): BlurKernel {
  const margin = (size - own) / 2
  if (!Number.isInteger(margin) || margin < 0) throw new ArgumentError(`a kernel of ${own} pixels does not stand amid ${size}`)
  const out = new Float64Array(size * size)
  for (let y = 0; y < own; y++) out.set(weights.subarray(y * own, (y + 1) * own), (y + margin) * size + margin)
  return { size, weights: out }
}

/** What a random blur may be. */
export interface BlurOptions {
  /** Standard deviations in pixels, from least to most. */
  readonly sigma: readonly [number, number]
  /** Exponents of generalised bells and of plateaus; half of them from the least to 1, half from 1 to the most. */
  readonly betaBell: readonly [number, number]
  readonly betaPlateau: readonly [number, number]
  /** How often each shape comes, as weights. */
  readonly shapes: Readonly<Record<BlurShape, number>>
  /** How often the filter rings instead. */
  readonly sinc: number
}
export type BlurShape = 'iso' | 'aniso' | 'generalized_iso' | 'generalized_aniso' | 'plateau_iso' | 'plateau_aniso'

/** Sides of random kernels. */
const SIZES = [7, 9, 11, 13, 15, 17, 19, 21]

/** A random blur, as Real-ESRGAN's training draws it (Wang et al. 2021, section 3.1). */
export function drawBlur(draw: Draw, { sigma, betaBell, betaPlateau, shapes, sinc: rings }: BlurOptions): BlurKernel {
  const size = draw.of(SIZES)
  if (draw.chance(rings)) return sinc(size, draw.between(size < 13 ? Math.PI / 3 : Math.PI / 5, Math.PI))
  const shape = draw.weighted(shapes)
  const sigmaX = draw.between(...sigma)
  const turned = shape.endsWith('aniso')
  const spread = {
    sigmaX,
    sigmaY: turned ? draw.between(...sigma) : sigmaX,
    theta: turned ? draw.between(-Math.PI, Math.PI) : 0,
  }
  const beta = ([least, most]: readonly [number, number]) => (draw.chance(0.5) ? draw.between(least, 1) : draw.between(1, most))
  if (shape.startsWith('plateau')) return plateau(size, spread, beta(betaPlateau))
  return bell(size, spread, shape.startsWith('generalized') ? beta(betaBell) : 1)
}

/** The ringing filter at the end of a degradation, or nothing. */
export function drawFinalSinc(draw: Draw, share: number): BlurKernel | undefined {
  return draw.chance(share) ? sinc(draw.of(SIZES), draw.between(Math.PI / 3, Math.PI)) : undefined
}
