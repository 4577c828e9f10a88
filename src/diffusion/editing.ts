import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { Generator } from '../runtime/random.ts'
import type { Denoise, Sampling } from './denoiser.ts'
import { checkSigmas, type Level, levelOf, noiseIn, type Path, vp } from './paths.ts'
import { addedVariance, fixedSmall } from './samplers/ddpm.ts'

/** Data taken to a noise level: αx0 + σε. */
export const noised = (data: NdArray, noise: NdArray, { alpha, sigma }: Level): NdArray => data.mul(alpha).add(noise.mul(sigma))

/** What is known of the data: where the mask is 1, in an orthonormal basis of the channels when one is given. */
export interface Known {
  readonly data: NdArray
  readonly mask: NdArray
  readonly generator: Generator
  readonly basis?: NdArray
}

/** [3, 3], orthonormal: the first row is the mean of the channels, so that greyness and colour part (Song et al. 2021, appendix I). */
export const greyBasis: NdArray = NdArray.from([
  [1 / Math.sqrt(3), 1 / Math.sqrt(3), 1 / Math.sqrt(3)],
  [1 / Math.sqrt(2), -1 / Math.sqrt(2), 0],
  [1 / Math.sqrt(6), 1 / Math.sqrt(6), -2 / Math.sqrt(6)],
])

/** [B, C, …] with its channels in another basis. */
export function inBasis(x: NdArray, basis: NdArray): NdArray {
  const [b, c, ...rest] = x.shape as [number, number, ...number[]]
  const flat = x.reshape([b, c, -1])
  return NdArray.stack(Array.from({ length: b }, (_, i) => basis.matmul(flat.row(i)))).reshape([b, c, ...rest])
}

/**
 * Replacement: the known part of the state is overwritten by the noised known data. In-painting with a mask of pixels,
 * colourisation with greyBasis and a mask of its first channel (Song et al. 2021, appendix I). Approximate: the rest is drawn
 * given the noised known part, not given the known part. Use it as `constrain` of predictorCorrector, or with `constrained`.
 */
export function replacement({ data, mask, generator, basis }: Known): (x: NdArray, level: Level) => NdArray {
  const [to, from] = basis
    ? [(x: NdArray) => inBasis(x, basis), (x: NdArray) => inBasis(x, basis.transpose())]
    : [(x: NdArray) => x, (x: NdArray) => x]
  const clean = to(data)
  return (x, level) => {
    const known = noised(clean, to(generator.randn(x.shape)), level)
    const state = to(x)
    return from(known.mul(mask).add(state.sub(state.mul(mask))))
  }
}

/** Any sampler with its known part replaced: a denoiser that first overwrites the known part of what it is given, and of what it gives. */
export function constrained(denoise: Denoise, known: Known, path: Path = vp): Denoise {
  const replace = replacement(known)
  return async (x, sigma) => replace(await denoise(replace(x, levelOf(path, sigma)), sigma), levelOf(path, 0))
}

/** A sampler's start from a picture: its last share of steps, and the picture at their first level (SDEdit, Meng et al. 2022). */
export function fromPicture(
  data: NdArray,
  sigmas: readonly number[],
  { strength, generator, path = vp }: { readonly strength: number; readonly generator: Generator; readonly path?: Path },
): { readonly x: NdArray; readonly sigmas: readonly number[] } {
  if (!(strength > 0 && strength <= 1)) throw new ArgumentError(`strength: expected above 0 and at most 1, got ${strength}`)
  const steps = sigmas.length - 1
  const rest = sigmas.slice(steps - Math.max(1, Math.min(steps, Math.floor(steps * strength))))
  return { x: noised(data, generator.randn(data.shape), levelOf(path, rest[0] as number)), sigmas: rest }
}

/** Along the great circle between two noises, so that what lies between is as long as noise (Shoemake 1985; Song et al. 2021). */
export function slerp(a: NdArray, b: NdArray, share: number): NdArray {
  const cosine = a.dot(b) / Math.sqrt(a.dot(a) * b.dot(b))
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)))
  if (Math.sin(angle) < 1e-6) return lerp(a, b, share)
  return a.mul(Math.sin((1 - share) * angle) / Math.sin(angle)).add(b.mul(Math.sin(share * angle) / Math.sin(angle)))
}

export const lerp = (a: NdArray, b: NdArray, share: number): NdArray => a.mul(1 - share).add(b.mul(share))

/** The order of RePaint's visits to 0 … steps − 1: down, and from every `length`-th step up again `length` steps, `times` − 1 times. */
export function repaintVisits(steps: number, { length = 10, times = 10 } = {}): number[] {
  const left = new Map<number, number>()
  for (let t = 0; t < steps - length; t += length) left.set(t, times - 1)
  const visits: number[] = []
  for (let t = steps - 1; t >= 0; t--) {
    visits.push(t)
    const jumps = left.get(t) ?? 0
    if (jumps === 0) continue
    left.set(t, jumps - 1)
    for (let k = 0; k < length; k++) visits.push(++t)
  }
  return visits
}

export interface RepaintOptions {
  readonly known: NdArray
  /** 1 where known. */
  readonly mask: NdArray
  readonly generator: Generator
  readonly path?: Path
  readonly eta?: number
  readonly clip?: (data: NdArray) => NdArray
  /** One step of the forward process; by default in one draw. */
  readonly forward?: (x: NdArray, from: Level, to: Level, i: number) => NdArray
}

/**
 * RePaint: Lugmayr et al. 2022, Algorithm 1. The levels fall, and rise where the sampler goes back to harmonise: a falling step
 * denoises the unknown part and noises the known one, a rising step noises all.
 */
export async function* repaint(
  denoise: Denoise,
  x: NdArray,
  hops: readonly (readonly [number, number])[],
  options: RepaintOptions,
): Sampling {
  const { known, mask, generator, path = vp, eta = 1, clip = (data) => data } = options
  checkSigmas(hops.flat(), 'repaint', 'any')
  const forward =
    options.forward ??
    ((state, from, to) =>
      state.mul(to.alpha / from.alpha).add(generator.randn(state.shape).mul(Math.sqrt(addedVariance(to, from)))))
  for (const [i, [sigma, next]] of hops.entries()) {
    const [from, to] = [levelOf(path, sigma), levelOf(path, next)]
    if (next > sigma) {
      x = forward(x, from, to, i)
      continue
    }
    const data = await denoise(x, sigma)
    const denoised = clip(data)
    yield { i, sigma, x, denoised }
    const noise = generator.randn(x.shape)
    const std = eta * fixedSmall(from, to)
    const direction = noiseIn(x, data, from).mul(Math.sqrt(Math.max(0, next ** 2 - std ** 2)))
    const unknown = denoised.mul(to.alpha).add(direction).add(noise.mul(std))
    x = noised(known, noise, to)
      .mul(mask)
      .add(unknown.sub(unknown.mul(mask)))
  }
  return x
}
