import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { Generator } from '../runtime/random.ts'

// A network that enlarges is trained on pictures that were shrunk and runs on pictures that were generated. What is done to the former
// so that it does as well on the latter (Ho et al. 2022b, section 4). Gaussian noise is `noisedTo` at levels drawn here.

export interface BlurOptions {
  /** Samples of the filter a side, an odd number. */
  readonly size?: number
  /** Its deviation is drawn evenly between these two, in pixels. */
  readonly sigma?: readonly [low: number, high: number]
  /** The share of pictures that are blurred. */
  readonly share?: number
}

/**
 * Blurs some of a batch's pictures, as high-resolution stages are trained: [B, C, H, W] → the same. Each is drawn for by itself: whether,
 * and how much.
 */
export function blurred(images: NdArray<'f32'>, generator: Generator, options: BlurOptions = {}): NdArray<'f32'> {
  const { size = 3, sigma: [low, high] = [0.4, 0.6], share = 0.5 } = options
  if (!(Number.isInteger(size) && size % 2 === 1)) throw new ArgumentError(`blurred: expected an odd size, got ${size}`)
  if (!(low > 0 && low <= high)) throw new ArgumentError(`blurred: expected deviations 0 < low ≤ high, got ${low} and ${high}`)
  const count = images.shape[0] as number
  const [whether, much] = [generator.rand([count]).data, generator.rand([count]).data]
  return NdArray.concat(
    Array.from({ length: count }, (_, i) => {
      const one = images.slice(0, i, i + 1)
      return (whether[i] as number) < share ? gaussianBlur(one, low + (high - low) * (much[i] as number), size) : one
    }),
  )
}

/** A Gaussian filter of `size` samples a side over the last two axes, reflected at the edges without repeating them. */
export function gaussianBlur(images: NdArray<'f32'>, sigma: number, size = 3): NdArray<'f32'> {
  const radius = (size - 1) / 2
  const raw = Array.from({ length: size }, (_, i) => Math.exp(-((i - radius) ** 2) / (2 * sigma * sigma)))
  const sum = raw.reduce((a, b) => a + b, 0)
  const weights = raw.map((weight) => weight / sum)
  const [H, W] = images.shape.slice(-2) as [number, number]
  if (H <= radius || W <= radius) throw new ArgumentError(`gaussianBlur: ${W} × ${H} pixels are too few for a filter of ${size}`)
  const mirrored = (i: number, n: number) => (i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i)
  const pass = (from: Float32Array, step: number, n: number, at: (i: number) => number): Float32Array =>
    from.map((_, i) => {
      const place = at(i)
      return weights.reduce(
        (all, weight, k) => all + weight * (from[i + (mirrored(place + k - radius, n) - place) * step] as number),
        0,
      )
    })
  const across = pass(images.data, 1, W, (i) => i % W)
  return new NdArray(
    pass(across, W, H, (i) => Math.floor(i / W) % H),
    images.shape,
    'f32',
  )
}

/** Levels of a batch's augmentation, evenly from 0 to `most`: the network is told them (Saharia et al. 2022, section 2.2). */
export const drawAugmentation = (generator: Generator, count: number, most = 1): number[] =>
  Array.from(generator.rand([count]).data, (u) => u * most)

/**
 * The levels of a run that stops where σ is this: the state there is what a truncated cascade hands on, already as noisy as the next
 * network is told (Ho et al. 2022b, section 4.2). Not truncated, the run goes to its end, and the result is noised to that level: both
 * have one distribution where the first network is exact.
 */
export function truncatedAt(sigmas: readonly number[], sigma: number): number[] {
  const before = sigmas.filter((level) => level > sigma)
  if (!(sigma > 0) || before.length === 0 || sigma < (sigmas.at(-1) as number))
    throw new ArgumentError(`truncatedAt: ${sigma} is not between ${sigmas.at(-1)} and ${sigmas[0]}, where the run is`)
  return [...before, sigma]
}

/**
 * √γ of a batch as SR3 is told it: of two neighbouring levels of a table of ᾱ, drawn evenly, any value between (Saharia et al. 2021,
 * section 2.4, after Chen et al. 2021). So a network that knows no step numbers is sampled on any schedule.
 */
export function drawSignalShares(alphasCumprod: ArrayLike<number>, count: number, generator: Generator): number[] {
  const steps = alphasCumprod.length
  const [which, where] = [generator.rand([count]).data, generator.rand([count]).data]
  return Array.from({ length: count }, (_, i) => {
    const t = Math.min(steps - 1, Math.floor((which[i] as number) * steps))
    const root = (at: number) => (at < 0 ? 1 : Math.sqrt(alphasCumprod[at] as number))
    return root(t) + (root(t - 1) - root(t)) * (where[i] as number)
  })
}

/** The level at which the signal's share is √γ. */
export const levelOfShare = (share: number) => ({ alpha: share, sigma: Math.sqrt(Math.max(0, 1 - share * share)) })
