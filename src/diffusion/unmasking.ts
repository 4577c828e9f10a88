import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { Generator } from '../runtime/random.ts'
import { pick } from './discrete.ts'
import { keepLikeliest, largest, softmax } from './shares.ts'

/** Logits [B, N, V] of the tokens [B, N], or of those from `from` on: the same with fewer rows. */
export type TextLogits = (tokens: NdArray<'i64'>) => Promise<NdArray> | NdArray

/**
 * In which order tokens are decided: those of which the model is surest first, by the probability of the token drawn (`confidence`, LLaDA's
 * low_confidence, Dream's maskgit_plus), by the lead over the second (`margin`), by the entropy of the place (`entropy`); or at random, in
 * order of reading (`left`), or each by chance at every step (`origin`).
 */
export const unmaskingOrders = ['confidence', 'margin', 'entropy', 'random', 'left', 'origin'] as const
export type UnmaskingOrder = (typeof unmaskingOrders)[number]

export interface UnmaskingOptions {
  /** The token that stands for what is not decided. */
  readonly mask: number
  /** Steps in all; with blocks they are shared out evenly. */
  readonly steps: number
  /** Tokens that are decided before those behind them: all at once unless given. */
  readonly block?: number
  readonly order?: UnmaskingOrder
  /** 0 takes the likeliest token. */
  readonly temperature?: number
  /** Only the likeliest tokens that together have this share may be drawn. */
  readonly topP?: number
  /** Only so many of the likeliest tokens may be drawn. */
  readonly topK?: number
  /** Beside those whose turn it is, every token that the model is at least so sure of: several a step (Wu et al. 2025). */
  readonly threshold?: number
  /** How many a step decides: evenly (LLaDA), or the share 1 − s/t of what is left (Dream). */
  readonly counts?: 'even' | 'share'
  /**
   * Of which distribution the order is: the model's own (LLaDA), or the one that tokens are drawn from, with temperature and cuts
   * (`drawn`, Dream).
   */
  readonly confidence?: 'model' | 'drawn'
  /** Tokens that are never drawn, as the end of the text. */
  readonly never?: readonly number[]
  /** Draws tokens and places; asked for by a temperature above 0 and by the orders of chance. */
  readonly generator?: Generator
}

/** The text so far: the state before a step, and which places are not decided. */
export interface UnmaskingStep {
  readonly i: number
  readonly tokens: NdArray<'i64'>
  readonly masked: readonly number[]
}

interface Candidate {
  readonly at: number
  readonly token: number
  readonly confidence: number
}

/**
 * Decides the masked tokens of a text [1, N] over several steps: every call of the model sees all of the text, and those of which it is surest
 * are kept (LLaDA: Nie et al. 2025, algorithm 5; Dream: Ye et al. 2025). What is not masked in `start` stays.
 */
export async function* unmasking(
  logits: TextLogits,
  start: NdArray<'i64'>,
  options: UnmaskingOptions,
): AsyncGenerator<UnmaskingStep, NdArray<'i64'>, void> {
  const { mask, steps, order = 'confidence', threshold, generator } = options
  if (!(Number.isInteger(steps) && steps > 0)) throw new ArgumentError(`steps: expected a positive integer, got ${steps}`)
  const [B, N] = start.shape as [number, number]
  if (B !== 1) throw new ArgumentError(`unmasking: one text at a time, got ${B}`)
  const first = Array.from(start.data, Number).indexOf(mask)
  if (first < 0) return start
  const { block = N - first } = options
  if (!(Number.isInteger(block) && block > 0)) throw new ArgumentError(`block: expected a positive integer, got ${block}`)
  const blocks = Math.ceil((N - first) / block)
  if (steps % blocks !== 0)
    throw new ArgumentError(
      `steps: ${steps} do not go round over ${blocks} blocks of ${block} tokens; give a multiple of ${blocks}`,
    )
  const each = steps / blocks
  let tokens = start
  let done = 0
  for (let b = 0; b < blocks; b++) {
    const places = Array.from({ length: Math.min(block, N - first - b * block) }, (_, i) => first + b * block + i)
    const masked = () => places.filter((at) => Number(tokens.data[at]) === mask)
    const all = masked().length
    for (let i = 0; i < each; i++, done++) {
      const left = masked()
      if (left.length === 0) continue
      yield { i: done, tokens, masked: left }
      const rows = (await logits(tokens)).cast('f32')
      const chosen = left.map((at) => candidate(rows, at, options))
      const count = countOf(options.counts ?? 'even', { all, left: left.length, i, each })
      const decided =
        order === 'origin' ? byChance(chosen, { i, each, generator }) : ranked(chosen, order, generator).slice(0, count)
      const sure = threshold === undefined ? [] : chosen.filter(({ confidence }) => confidence >= threshold)
      tokens = NdArray.from([...tokens.data].map(Number), tokens.shape).cast('i64')
      for (const { at, token } of [...decided, ...sure]) tokens.data[at] = BigInt(token)
    }
  }
  return tokens
}

/** How many tokens a step decides of those left. */
function countOf(
  counts: 'even' | 'share',
  { all, left, i, each }: { readonly all: number; readonly left: number; readonly i: number; readonly each: number },
): number {
  if (i === each - 1) return left
  if (counts === 'even') return Math.floor(all / each) + (i < all % each ? 1 : 0)
  const time = (k: number) => 1 + ((1e-3 - 1) * k) / each
  return Math.floor(left * (1 - time(i + 1) / time(i)))
}

function byChance(
  chosen: readonly Candidate[],
  { i, each, generator }: { readonly i: number; readonly each: number; readonly generator: Generator | undefined },
): Candidate[] {
  const time = (k: number) => 1 + ((1e-3 - 1) * k) / each
  const share = i === each - 1 ? 1 : 1 - time(i + 1) / time(i)
  const u = chance(generator, 'order origin').rand([chosen.length]).data
  return chosen.filter((_, at) => (u[at] as number) < share)
}

function ranked(chosen: readonly Candidate[], order: UnmaskingOrder, generator: Generator | undefined): Candidate[] {
  if (order === 'left') return [...chosen]
  const marks = order === 'random' ? chance(generator, 'order random').rand([chosen.length]).data : undefined
  const markOf = ({ confidence }: Candidate, i: number) => (marks ? (marks[i] as number) : confidence)
  const marked = chosen.map((one, i) => ({ one, mark: markOf(one, i) }))
  return marked.sort((a, b) => b.mark - a.mark || a.one.at - b.one.at).map(({ one }) => one)
}

function chance(generator: Generator | undefined, what: string): Generator {
  if (!generator) throw new ArgumentError(`${what}: pass { generator: new Generator(seed) }`)
  return generator
}

/** The token that a place would take, and how sure that is. */
function candidate(rows: NdArray<'f32'>, at: number, options: UnmaskingOptions): Candidate {
  const { order = 'confidence', temperature = 0, topP, topK, never = [], generator } = options
  const V = rows.shape[2] as number
  const row = Float64Array.from(rows.data.subarray(at * V, (at + 1) * V))
  for (const token of never) row[token] = Number.NEGATIVE_INFINITY
  const plain = softmax(row)
  const shares = temperature === 0 ? plain.slice() : softmax(row, temperature)
  keepLikeliest(shares, { share: topP, count: topK })
  const u = temperature === 0 ? undefined : chance(generator, 'a temperature above 0').rand([1]).item()
  const token = u === undefined ? largest(plain) : pick(shares, u)
  const total = shares.reduce((a, b) => a + b, 0)
  const seen = options.confidence === 'drawn' ? shares.map((share) => share / total) : plain
  return { at, token, confidence: sureness(order, seen, token) }
}

function sureness(order: UnmaskingOrder, shares: Float64Array, token: number): number {
  if (order === 'entropy') return shares.reduce((sum, p) => sum + p * Math.log(p + 1e-10), 0)
  if (order !== 'margin') return shares[token] as number
  const best = largest(shares)
  const second = shares.reduce((most, p, j) => (j === best ? most : Math.max(most, p)), 0)
  return (shares[best] as number) - second
}
