import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { Generator } from '../runtime/random.ts'
import { type Draw, drawerOf, type MaskSchedule, type TextStep, totalNoise } from './masked.ts'

/** How tokens change into others: into the mask, the last of them, or into any. */
export type TokenGraph = 'absorb' | 'uniform'

/** Concrete scores p_t(y)/p_t(x) of every token y in each place, [B, N, V]: tokens [B, N], total noise σ. */
export type TextScore = (tokens: NdArray<'f32'>, sigma: number) => Promise<NdArray> | NdArray

/** ln(e^σ − 1), exact for small σ. */
const logExpm1 = (sigma: number): number => Math.log(Math.expm1(sigma))

/**
 * Scores from SEDD's logits [B, N, V]: e^logits, brought to the level's size where the network was trained so (`scale_by_sigma`), and 1 of
 * the token that stands there (Lou et al. 2024, section 5.1 and appendix C.2).
 */
export function scoresOf(
  logits: NdArray,
  tokens: NdArray,
  sigma: number,
  { scaled }: { readonly scaled: boolean },
): NdArray<'f32'> {
  const V = logits.shape.at(-1) as number
  const less = scaled ? logExpm1(sigma) + Math.log(V - 1) : 0
  const now = tokens.cast('f32').data
  return logits.cast('f32').map((value, i) => (i % V === now[Math.floor(i / V)] ? 1 : Math.exp(value - less)))
}

/**
 * The score-entropy loss of every token (Lou et al. 2024, eq. 7): scores [B, N, V] at `noisy`, whose clean tokens are `clean`. Times the
 * noise's rate, averaged over t, it bounds −ln p of the text from above; 0 at the true scores of a single text.
 */
export function scoreEntropy(
  graph: TokenGraph,
  scores: NdArray,
  { noisy, clean, sigma }: { readonly noisy: NdArray; readonly clean: NdArray; readonly sigma: number },
): NdArray<'f32'> {
  const V = scores.shape.at(-1) as number
  const { data } = scores.cast('f32')
  const [now, before] = [noisy.cast('f32').data, clean.cast('f32').data]
  const grown = Math.expm1(sigma)
  return noisy.cast('f32').map((_, i) => {
    const row = data.subarray(i * V, (i + 1) * V)
    const [x, x0] = [now[i] as number, before[i] as number]
    const logOf = (token: number) => Math.log(Math.max(row[token] as number, 1e-38))
    if (graph === 'absorb') {
      if (x !== V - 1) return 0
      let sum = 0
      for (let j = 0; j < V - 1; j++) sum += row[j] as number
      const ratio = 1 / grown
      return sum - ratio * logOf(x0) + ratio * (Math.log(ratio) - 1)
    }
    const ratio = 1 - V / (grown + V)
    let [sum, logs] = [0, 0]
    for (let j = 0; j < V; j++) {
      sum += row[j] as number
      logs += logOf(j)
    }
    const same = x === x0
    const mean = (logs - logOf(x)) / V
    const negative = same ? ratio * mean : logOf(x0) / grown + mean
    const constant = same ? ((V - 1) / V) * ratio * (Math.log(ratio) - 1) : ((-Math.log(ratio) - 1) / ratio - (V - 2)) / V
    return (sum - (row[x] as number)) / V - negative + constant
  })
}

/** Changes tokens [B, N] as they are after total noise σ of each text: into the mask, or into any token. */
export function perturbTokens(
  graph: TokenGraph,
  tokens: NdArray,
  sigmas: readonly number[],
  { vocabulary: V, generator }: { readonly vocabulary: number; readonly generator: Generator },
): NdArray<'f32'> {
  const [B, N] = tokens.shape as [number, number]
  if (sigmas.length !== B) throw new ArgumentError(`perturbTokens: ${sigmas.length} noise levels for ${B} texts`)
  const moves = generator.rand([B, N]).data
  const into = graph === 'uniform' ? generator.randint(0, V, [B, N]).data : undefined
  return tokens.cast('f32').map((token, i) => {
    const stays = (moves[i] as number) >= -Math.expm1(-(sigmas[Math.floor(i / N)] as number))
    return stays ? token : into ? Number(into[i]) : V - 1
  })
}

export interface ScoreSamplingOptions {
  readonly graph: TokenGraph
  readonly schedule: MaskSchedule
  readonly steps: number
  /** `analytic` takes the exact step of scores that stay as they are (Tweedie's, eq. 19); `euler` the rates' (eq. 16). */
  readonly predictor?: 'analytic' | 'euler'
  readonly generator?: Generator
  readonly draw?: Draw
}

/** Samples by scores (Lou et al. 2024, section 4), then removes what noise is left in one exact step. */
export async function* scoreSampling(
  score: TextScore,
  start: NdArray,
  { graph, schedule, steps, predictor = 'analytic', generator, draw }: ScoreSamplingOptions,
): AsyncGenerator<TextStep, NdArray<'f32'>, void> {
  if (!(Number.isInteger(steps) && steps > 0)) throw new ArgumentError(`steps: expected a positive integer, got ${steps}`)
  const choose = draw ?? drawerOf(generator, 'scoreSampling')
  const end = 1e-5
  const step = (1 - end) / steps
  let tokens = start.cast('f32')
  for (let i = 0; i < steps; i++) {
    const t = 1 - step * i
    yield { i, t, tokens }
    const sigma = totalNoise(schedule, t)
    const scores = (await score(tokens, sigma)).cast('f32')
    const shares =
      predictor === 'analytic'
        ? exactStep(graph, scores, tokens, sigma - totalNoise(schedule, t - step))
        : eulerStep(graph, scores, tokens, (step * schedule.rate(t)) / schedule.kept(t))
    tokens = choose(shares).cast('f32')
  }
  yield { i: steps, t: end, tokens }
  const sigma = totalNoise(schedule, end)
  const shares = exactStep(graph, (await score(tokens, sigma)).cast('f32'), tokens, sigma)
  const V = shares.shape[2] as number
  // The reference takes the mask's column away; here it has no share.
  if (graph === 'absorb') for (let at = V - 1; at < shares.data.length; at += V) shares.data[at] = 0
  return choose(shares).cast('f32')
}

/** Shares of each token after going back by total noise σ: scores as they were before the step, times the way forward. */
function exactStep(graph: TokenGraph, scores: NdArray<'f32'>, tokens: NdArray<'f32'>, sigma: number): NdArray<'f32'> {
  const V = scores.shape[2] as number
  const [kept, grown] = [Math.exp(-sigma), Math.exp(sigma)]
  return byRow(scores, (row, out, i) => {
    const now = tokens.data[i] as number
    const sum = row.reduce((a, b) => a + b, 0)
    for (let j = 0; j < V; j++) {
      const last = j === V - 1
      const before =
        graph === 'absorb'
          ? (row[j] as number) * grown + (last ? (1 - grown) * sum : 0)
          : ((kept - 1) / (V * kept)) * sum + (row[j] as number) / kept
      const way =
        graph === 'absorb'
          ? (j === now ? kept : 0) + (now === V - 1 ? 1 - kept : 0)
          : j === now
            ? 1 - ((1 - kept) * (V - 1)) / V
            : (1 - kept) / V
      // Scores that a network has not learnt exactly may leave a share below 0, which is none.
      out[j] = Math.max(0, before * way)
    }
  })
}

/** Shares after a short step of the reverse rates. */
function eulerStep(graph: TokenGraph, scores: NdArray<'f32'>, tokens: NdArray<'f32'>, scale: number): NdArray<'f32'> {
  const V = scores.shape[2] as number
  return byRow(scores, (row, out, i) => {
    const now = tokens.data[i] as number
    let leaves = 0
    for (let j = 0; j < V; j++) {
      if (j === now) continue
      const rate = graph === 'absorb' ? (now === V - 1 ? 1 : 0) : 1 / V
      out[j] = scale * rate * (row[j] as number)
      leaves += out[j] as number
    }
    out[now] = Math.max(0, 1 - leaves)
  })
}

function byRow(scores: NdArray<'f32'>, fill: (row: Float32Array, out: Float32Array, i: number) => void): NdArray<'f32'> {
  const V = scores.shape[2] as number
  const out = NdArray.zeros(scores.shape, 'f32')
  for (let i = 0; i < scores.data.length / V; i++)
    fill(scores.data.subarray(i * V, (i + 1) * V), out.data.subarray(i * V, (i + 1) * V), i)
  return out
}
