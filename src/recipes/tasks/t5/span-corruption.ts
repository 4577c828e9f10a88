import type { Generator } from '../../../runtime/random.ts'

export interface SpanOptions {
  /** The share of tokens that are cut out. */
  readonly density: number
  /** Tokens of a span, on average. */
  readonly meanLength: number
  /** The number of the sentinel for span i. */
  readonly sentinel: (i: number) => number
}

/** A text with some of its spans replaced by sentinels, and those spans, each behind its sentinel. */
export interface CorruptedText {
  readonly source: readonly number[]
  readonly target: readonly number[]
}

/**
 * Span corruption (Raffel et al. 2020, section 3.1.4 and figure 2): so many tokens are cut out in so many spans, both of which the
 * length decides, at random places. The target ends in one more sentinel where the text goes on behind the last span.
 */
export function corruptSpans(tokens: readonly number[], { density, meanLength, sentinel }: SpanOptions, generator: Generator) {
  const { length } = tokens
  const uniform = () => generator.bits() / 2 ** 32
  const { cut, spans } = sizesOf(length, { density, meanLength })
  const lengths = partsAtRandom(cut, spans, uniform)
  // Before each span one token or more, but for the first, before which there may be none; and as many may stand behind the last.
  const [starts, ends] = spans < length - cut ? [uniform() < 0.5, uniform() < 0.5] : [false, false]
  const kept = partsAtRandom(length - cut, spans - Number(starts) + Number(ends), uniform)
  if (starts) kept.unshift(0)
  const [source, target]: [number[], number[]] = [[], []]
  let at = 0
  const take = (count: number) => {
    at += count
    return tokens.slice(at - count, at)
  }
  for (const [i, span] of lengths.entries()) {
    source.push(...take(kept[i] as number), sentinel(i))
    target.push(sentinel(i), ...take(span))
  }
  if (at < length) {
    source.push(...take(length - at))
    target.push(sentinel(spans))
  }
  return { source, target } satisfies CorruptedText
}

/** How many tokens of a text are cut out, and in how many spans. */
function sizesOf(length: number, { density, meanLength }: Pick<SpanOptions, 'density' | 'meanLength'>) {
  const cut = Math.min(Math.max(1, Math.round(length * density)), length - 1)
  return { cut, spans: Math.min(Math.max(1, Math.round(cut / meanLength)), cut, length - cut) }
}

/** Tokens of the longest target of texts of so many tokens or fewer, without an end token. */
export function longestTarget(length: number, options: Pick<SpanOptions, 'density' | 'meanLength'>): number {
  const { cut, spans } = sizesOf(length, options)
  return cut + spans + 1
}

/** A number as a sum of `parts` numbers of 1 or more; all such sums are as likely. */
function partsAtRandom(total: number, parts: number, uniform: () => number): number[] {
  if (parts <= 0) return []
  // Which of the places between two units are borders: `parts − 1` of them, by selection sampling.
  const found: number[] = []
  let [borders, size] = [parts - 1, 1]
  for (let place = 1; place < total; place++) {
    if (uniform() * (total - place) < borders) {
      found.push(size)
      size = 0
      borders--
    }
    size++
  }
  return [...found, size]
}
