import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { betasFromAlphaBar } from './betas.ts'
import type { Denoise } from './denoiser.ts'
import type { GaussianDiffusion } from './gaussian.ts'
import { argmaxRows } from './masked.ts'
import { softmax } from './shares.ts'

/**
 * Diffusion on the embeddings of tokens, Diffusion-LM (Li et al. 2022) and DiffuSeq (Gong et al. 2023). Embeddings are a table [V, D], texts
 * x [B, N, D], and the process is Gaussian.
 */

/** ᾱ = 1 − √(t/T + s): noise rises fast at first, where the nearest token is still easy to tell (Li et al. 2022, appendix A). */
export const squareRootBetas = (steps: number, offset = 1e-4): Float32Array =>
  betasFromAlphaBar(steps, (t) => 1 - Math.sqrt(t + offset))

function sizesOf(x: NdArray, table: NdArray, what: string): { readonly rows: number; readonly D: number } {
  const D = x.shape.at(-1) as number
  if (table.shape.length !== 2 || table.shape[1] !== D)
    throw new ArgumentError(`${what}: embeddings [${table.shape.join(', ')}] do not fit x [${x.shape.join(', ')}]`)
  return { rows: x.size / D, D }
}

/** Embeddings of tokens: [..] → [.., D]. */
export function embedded(tokens: NdArray, table: NdArray): NdArray<'f32'> {
  const [V, D] = table.shape as [number, number]
  const { data } = table.cast('f32')
  const out = NdArray.zeros([...tokens.shape, D], 'f32')
  for (const [i, token] of Array.from(tokens.data, Number).entries()) {
    if (!(token >= 0 && token < V)) throw new ArgumentError(`embedded: token ${token} is outside 0 … ${V - 1}`)
    out.data.set(data.subarray(token * D, (token + 1) * D), i * D)
  }
  return out
}

/** Logits x · Eᵀ of every token: [.., D] → [.., V]. */
export function embeddingLogits(x: NdArray, table: NdArray): NdArray<'f32'> {
  const { rows, D } = sizesOf(x, table, 'embeddingLogits')
  const turned = table.cast('f32').transpose()
  return x
    .cast('f32')
    .reshape([rows, D])
    .matmul(turned)
    .reshape([...x.shape.slice(0, -1), table.shape[0] as number])
}

/** The token whose embedding lies nearest, [.., D] → [..]. */
export function nearestTokens(x: NdArray, table: NdArray): NdArray {
  // −‖x − e‖² = 2 x·e − ‖e‖² but for what all tokens share.
  const squares = table
    .cast('f32')
    .square()
    .sum({ axes: [1] })
  return NdArray.from(argmaxRows(embeddingLogits(x, table).mul(2).sub(squares))).reshape(x.shape.slice(0, -1))
}

/** What is predicted is moved onto the nearest embeddings, so that a step commits to tokens: clamping (Li et al. 2022, section 4.2). */
export const clampedTo =
  (denoise: Denoise, table: NdArray): Denoise =>
  async (x, sigma) => {
    const data = await denoise(x, sigma)
    return embedded(nearestTokens(data, table), table)
  }

/**
 * Partial noising (Gong et al. 2023, section 3.1): where `given` [B, N, 1] is not 0, the clean `source` [B, N, D] stands in what the network sees
 * and in what it answers, so that only the rest is diffused.
 */
export const partiallyNoised =
  (denoise: Denoise, source: NdArray, given: NdArray): Denoise =>
  async (x, sigma) =>
    source.where(given, await denoise(source.where(given, x), sigma))

/** A denoiser that is told its last estimate, zeros at first: self-conditioning (Chen et al. 2023, algorithm 2). One use a run. */
export function selfConditioned(denoise: (x: NdArray, sigma: number, before: NdArray) => Promise<NdArray> | NdArray): Denoise {
  let before: NdArray | undefined
  return async (x, sigma) => {
    before = await denoise(x, sigma, before ?? NdArray.zeros(x.shape))
    return before
  }
}

/** One number for each text. */
export interface EmbeddingLoss {
  /** ‖x_0 − f‖², and at the first step ‖E(w) − f‖²: the mean over elements. */
  readonly square: NdArray
  /** ‖√ᾱ_T x_0‖²: at the last step nothing is left. */
  readonly prior: NdArray
  /** −ln p(w | x_0), the mean over tokens. */
  readonly rounding: NdArray
  /** All three together. */
  readonly total: NdArray
}

const meanOver = (x: NdArray): NdArray => x.mean({ axes: x.shape.map((_, i) => i).slice(1) })

/** x_0 of tokens: their embeddings with the noise of the first step (Li et al. 2022, section 4.1). */
export const embeddedStart = (process: GaussianDiffusion, tokens: NdArray, table: NdArray, noise: NdArray): NdArray =>
  embedded(tokens, table).add(noise.mul(process.level(0).sigma))

/**
 * The loss that Diffusion-LM and DiffuSeq train on (Li et al. 2022, eq. 2; improved_diffusion's training_losses_e2e), from x_0 as `embeddedStart`
 * makes it and the network's answer for x_0 at t.
 */
export function embeddingLoss(
  process: GaussianDiffusion,
  table: NdArray,
  {
    tokens,
    start,
    found,
    t,
  }: { readonly tokens: NdArray; readonly start: NdArray; readonly found: NdArray; readonly t: readonly number[] },
): EmbeddingLoss {
  const clean = embedded(tokens, table)
  const first = NdArray.from(t.map((at) => (at === 0 ? 1 : 0))).reshape([t.length, ...start.shape.slice(1).map(() => 1)])
  const square = meanOver(clean.where(first, start).sub(found).square())
  const prior = meanOver(start.mul(process.level(process.steps - 1).alpha).square())
  const V = table.shape[0] as number
  const logits = embeddingLogits(start, table).data
  const nats = Array.from(tokens.data, Number).map(
    (token, i) => -Math.log(softmax(logits.slice(i * V, (i + 1) * V))[token] as number),
  )
  const rounding = meanOver(NdArray.from(nats).reshape(tokens.shape))
  return { square, prior, rounding, total: square.add(prior).add(rounding) }
}

/** The candidate that is most like all of them: minimum Bayes risk (Kumar and Byrne 2004), with a likeness such as BLEU as the gain. */
export function leastRisk<T>(candidates: readonly T[], likeness: (one: T, other: T) => number): T {
  if (candidates.length === 0) throw new ArgumentError('leastRisk: no candidates')
  const gains = candidates.map((one, i) => candidates.reduce((sum, other, j) => sum + (i === j ? 0 : likeness(one, other)), 0))
  return candidates[gains.indexOf(Math.max(...gains))] as T
}
