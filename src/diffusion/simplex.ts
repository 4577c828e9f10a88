import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { Generator } from '../runtime/random.ts'
import { pick } from './discrete.ts'
import { argmaxRows } from './masked.ts'
import { keepLikeliest, largest, softmax } from './shares.ts'

/** ᾱ at the share t of all time, 1 at t = 0 and 0 at 1: a cosine (Nichol and Dhariwal 2021, eq. 17, with s = 10⁻⁴). */
export function simplexKept(t: number): number {
  const s = 1e-4
  const at = (share: number) => Math.cos((((share + s) / (1 + s)) * Math.PI) / 2) ** 2
  return at(t) / at(0)
}

/** Logits that are almost one-hot (Han et al. 2023, eq. 5): +K of each token and −K of all others, [...] → [..., V]. */
export function almostOneHot(tokens: NdArray, V: number, K: number): NdArray<'f32'> {
  const out = NdArray.full([...tokens.shape, V], -K)
  for (const [i, token] of Array.from(tokens.data as ArrayLike<number | bigint>, Number).entries()) out.data[i * V + token] = K
  return out as NdArray<'f32'>
}

/** √ᾱ_t w + √(1 − ᾱ_t) K ε (eq. 6): logits w [B, N, V] and noise ε alike, a share t of all time for each text. */
export function simplexNoise(logits: NdArray, noise: NdArray, times: readonly number[], K: number): NdArray<'f32'> {
  const [B, N, V] = logits.shape as [number, number, number]
  if (times.length !== B) throw new ArgumentError(`simplexNoise: ${times.length} times for ${B} texts`)
  const kept = times.map(simplexKept)
  const { data } = noise.cast('f32')
  return logits.cast('f32').map((value, i) => {
    const share = kept[Math.floor(i / (N * V))] as number
    return Math.sqrt(share) * value + Math.sqrt(1 - share) * K * (data[i] as number)
  })
}

/**
 * What a network's logits say the clean text is (section 3.3): `greedy` the likeliest token, `sampling` one drawn from the likeliest that
 * together have the share `topP`, `multi-hot` all of those.
 */
export const simplexProjections = ['greedy', 'sampling', 'multi-hot'] as const
export type SimplexProjection = (typeof simplexProjections)[number]

export interface ProjectionOptions {
  readonly projection: SimplexProjection
  readonly topP?: number
  readonly K: number
  /** Draws tokens; for `sampling`. */
  readonly generator?: Generator
}

/** Logits [B, N, V] → almost one-hot or multi-hot logits: ±K. */
export function projectSimplex(logits: NdArray, { projection, topP = 0.95, K, generator }: ProjectionOptions): NdArray<'f32'> {
  const V = logits.shape.at(-1) as number
  const { data } = logits.cast('f32')
  const out = NdArray.full(logits.shape, -K) as NdArray<'f32'>
  if (projection === 'sampling' && !generator)
    throw new ArgumentError('projectSimplex: tokens are drawn; pass { generator: new Generator(seed) }')
  for (let row = 0; row < data.length; row += V) {
    const own = data.subarray(row, row + V)
    if (projection === 'greedy') out.data[row + largest(own)] = K
    else {
      const shares = softmax(own)
      keepLikeliest(shares, { share: topP })
      if (projection === 'sampling') out.data[row + pick(shares, (generator as Generator).rand([1]).item())] = K
      else for (let j = 0; j < V; j++) if ((shares[j] as number) > 0) out.data[row + j] = K
    }
  }
  return out
}

/** Logits [B, N, V] of a text's tokens, from noisy logits alike and the share of time that is left. */
export type SimplexDenoise = (x: NdArray<'f32'>, t: number) => Promise<NdArray> | NdArray

export interface SimplexStep {
  readonly i: number
  readonly t: number
  /** The likeliest tokens of the network's last answer, [B, N]; of noise before the first. */
  readonly tokens: NdArray<'f32'>
}

export interface SimplexSamplingOptions extends ProjectionOptions {
  readonly steps: number
  readonly generator?: Generator
  /** Noise of a shape, in place of the generator's. */
  readonly randn?: (shape: readonly number[]) => NdArray
}

/**
 * Decodes a block of tokens [B, N] out of V from noise on logits (Han et al. 2023, section 3.3): each step asks the network, projects its
 * answer, and adds fresh noise of the next level. The tokens are the likeliest of the last answer. Only shares of time reach the network,
 * so that there may be any number of steps.
 */
export async function* simplexSampling(
  denoise: SimplexDenoise,
  shape: readonly [B: number, N: number, V: number],
  { steps, generator, randn, ...projection }: SimplexSamplingOptions,
): AsyncGenerator<SimplexStep, NdArray<'f32'>, void> {
  if (!(Number.isInteger(steps) && steps > 0)) throw new ArgumentError(`steps: expected a positive integer, got ${steps}`)
  const fresh = randn ?? ((of: readonly number[]) => drawn(generator, of))
  const [B, N] = shape
  const { K } = projection
  const tokensOf = (logits: NdArray) => NdArray.from(argmaxRows(logits)).reshape([B, N])
  let x = fresh(shape).cast('f32').mul(K) as NdArray<'f32'>
  let tokens = tokensOf(x)
  for (let i = 0; i < steps; i++) {
    const t = (steps - i) / steps
    yield { i, t, tokens }
    const logits = await denoise(x, t)
    tokens = tokensOf(logits)
    if (i === steps - 1) break
    const clean = projectSimplex(logits, { ...projection, ...(generator && { generator }) })
    const next = (steps - i - 1) / steps
    x = simplexNoise(clean, fresh(shape), Array<number>(B).fill(next), K)
  }
  return tokens
}

function drawn(generator: Generator | undefined, shape: readonly number[]): NdArray {
  if (!generator) throw new ArgumentError('simplexSampling: noise is drawn; pass { generator: new Generator(seed) }')
  return generator.randn(shape)
}
