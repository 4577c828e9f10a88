import { ArgumentError } from '../core/errors.ts'
import type { ScoredPiece } from './t5-tokenizer-unigram.ts'

/** Stands for the blank before a word. */
const blank = '▁'
/** Characters of a piece at most, as SentencePiece has it. */
const LONGEST = 16
/** Candidates at first, in vocabularies; and the share that each round keeps. */
const SEEDS = 8
const KEPT = 0.75
/** Rounds of expectation and maximisation between two cuts. */
const ROUNDS = 2

/** Characters that have pieces of their own whatever the texts are, so that no English text holds an unknown one. */
const alphabet = [blank, ...Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i))]

/**
 * Learns a unigram vocabulary from texts (Kudo 2018, section 3.2): of all frequent stretches of words, those without which the words
 * would become the least likely. Words are cut at white space, each with a blank before it.
 *
 * @param size pieces at most; there are fewer where the texts have no more
 * @returns pieces with their log-probabilities, the likeliest first
 * @throws ArgumentError for a size that single characters alone exceed
 */
export function trainUnigram(texts: Iterable<string>, { size }: { readonly size: number }): ScoredPiece[] {
  const words = new Map<string, number>()
  for (const text of texts)
    for (const word of text.split(/\p{White_Space}+/u))
      if (word !== '') words.set(blank + word, (words.get(blank + word) ?? 0) + 1)
  const characters = new Set([...alphabet, ...[...words.keys()].flatMap((word) => [...word])])
  if (!Number.isInteger(size) || size < characters.size)
    throw new ArgumentError(`trainUnigram: expected a size of ${characters.size} or more, got ${size}`)
  const counted = [...words].map(([word, count]) => ({ word: [...word], count }))
  let scores = normalised(seeds(counted, characters, SEEDS * size))
  for (;;) {
    for (let i = 0; i < ROUNDS; i++) scores = normalised(expected(counted, scores, characters))
    if (scores.size <= size) break
    scores = pruned(counted, scores, characters, Math.max(size, Math.ceil(KEPT * scores.size)))
  }
  return [...scores].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
}

interface Word {
  /** Its characters. */
  readonly word: readonly string[]
  readonly count: number
}

/** Single characters, and the stretches of words that come twice or more, those that cover the most text first. */
function seeds(words: readonly Word[], characters: ReadonlySet<string>, most: number): Map<string, number> {
  const found = new Map<string, number>()
  for (const { word, count } of words)
    for (let from = 0; from < word.length; from++)
      for (let to = from + 1; to <= Math.min(word.length, from + LONGEST); to++) {
        const piece = word.slice(from, to).join('')
        found.set(piece, (found.get(piece) ?? 0) + count)
      }
  const longer = [...found].filter(([piece, count]) => count > 1 && !characters.has(piece))
  const covered = ([piece, count]: readonly [string, number]) => count * [...piece].length
  longer.sort((a, b) => covered(b) - covered(a) || (a[0] < b[0] ? -1 : 1))
  return new Map([...[...characters].map((one) => [one, found.get(one) ?? 0] as const), ...longer.slice(0, most)])
}

/** Counts as log-probabilities; what never came gets the weight of a hundredth of an occurrence. */
function normalised(counts: ReadonlyMap<string, number>): Map<string, number> {
  const least = 0.01
  const total = [...counts.values()].reduce((sum, count) => sum + Math.max(count, least), 0)
  return new Map([...counts].map(([piece, count]) => [piece, Math.log(Math.max(count, least) / total)]))
}

/** How often each piece is expected over all ways to cut the words; longer pieces that hardly come are dropped. */
function expected(
  words: readonly Word[],
  scores: ReadonlyMap<string, number>,
  characters: ReadonlySet<string>,
): Map<string, number> {
  const counts = new Map([...scores.keys()].map((piece) => [piece, 0]))
  for (const { word, count } of words) {
    const pieces = piecesIn(word, scores)
    const before = new Float64Array(word.length + 1).fill(-Infinity)
    const behind = new Float64Array(word.length + 1).fill(-Infinity)
    before[0] = 0
    behind[word.length] = 0
    for (const { from, to, score } of pieces) before[to] = logSum(before[to] as number, (before[from] as number) + score)
    for (const { from, to, score } of pieces.toReversed())
      behind[from] = logSum(behind[from] as number, (behind[to] as number) + score)
    for (const { from, to, piece, score } of pieces) {
      const share = Math.exp((before[from] as number) + score + (behind[to] as number) - (before[word.length] as number))
      counts.set(piece, (counts.get(piece) as number) + count * share)
    }
  }
  return new Map([...counts].filter(([piece, count]) => count >= 0.5 || characters.has(piece)))
}

/** The pieces without which the words lose the most of their likelihood. */
function pruned(
  words: readonly Word[],
  scores: ReadonlyMap<string, number>,
  characters: ReadonlySet<string>,
  count: number,
): Map<string, number> {
  const used = expected(words, scores, new Set(scores.keys()))
  const loss = new Map(
    [...scores].map(([piece, score]) => [piece, (used.get(piece) ?? 0) * (score - bestOtherwise([...piece], scores))]),
  )
  const longer = [...scores.keys()].filter((piece) => !characters.has(piece))
  longer.sort((a, b) => (loss.get(b) as number) - (loss.get(a) as number) || (a < b ? -1 : 1))
  const kept = new Set([...characters, ...longer.slice(0, Math.max(0, count - characters.size))])
  return new Map([...scores].filter(([piece]) => kept.has(piece)))
}

interface Placed {
  readonly from: number
  readonly to: number
  readonly piece: string
  readonly score: number
}

/** Every piece at every place of a word where it fits, in the order of their starts. */
function piecesIn(word: readonly string[], scores: ReadonlyMap<string, number>): Placed[] {
  const found: Placed[] = []
  for (let from = 0; from < word.length; from++)
    for (let to = from + 1; to <= Math.min(word.length, from + LONGEST); to++) {
      const piece = word.slice(from, to).join('')
      const score = scores.get(piece)
      if (score !== undefined) found.push({ from, to, piece, score })
    }
  return found
}

/** The log-probability of a piece's text as the likeliest row of other pieces. */
function bestOtherwise(piece: readonly string[], scores: ReadonlyMap<string, number>): number {
  const best = new Float64Array(piece.length + 1).fill(-Infinity)
  best[0] = 0
  for (const { from, to, score } of piecesIn(piece, scores))
    if (to - from < piece.length) best[to] = Math.max(best[to] as number, (best[from] as number) + score)
  return best[piece.length] as number
}

function logSum(a: number, b: number): number {
  const [low, high] = a < b ? [a, b] : [b, a]
  return low === -Infinity ? high : high + Math.log1p(Math.exp(low - high))
}
