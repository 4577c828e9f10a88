/** A word as the symbols that it is cut into, and how often it comes. Learning joins its symbols. */
export interface CutWord {
  readonly count: number
  symbols: readonly string[]
}

/**
 * Byte-pair encoding's merges (Sennrich et al. 2016, Algorithm 1): the most frequent pair of neighbours within words is joined again and
 * again, of two equally frequent the first in code-point order. It ends after `most`, or where no pair comes twice.
 */
export function learnMerges(words: readonly CutWord[], most: number): [string, string][] {
  const counts = new Map<string, number>()
  /** Words that a pair may be in: some of them have lost it since. */
  const holders = new Map<string, Set<CutWord>>()
  const count = (word: CutWord, sign: 1 | -1) => {
    for (let i = 1; i < word.symbols.length; i++) {
      const pair = `${word.symbols[i - 1]} ${word.symbols[i]}`
      const now = (counts.get(pair) ?? 0) + sign * word.count
      if (now > 0) counts.set(pair, now)
      else counts.delete(pair)
      if (sign < 0) continue
      const known = holders.get(pair)
      if (known) known.add(word)
      else holders.set(pair, new Set([word]))
    }
  }
  for (const word of words) count(word, 1)
  const merges: [string, string][] = []
  while (merges.length < most) {
    const best = mostFrequent(counts)
    if (best === undefined) break
    const pair = best.split(' ') as [string, string]
    merges.push(pair)
    for (const word of holders.get(best) ?? []) {
      const symbols = joined(word.symbols, pair)
      if (symbols.length === word.symbols.length) continue
      count(word, -1)
      word.symbols = symbols
      count(word, 1)
    }
    holders.delete(best)
  }
  return merges
}

/** The pair that comes most often, twice at least. */
function mostFrequent(counts: ReadonlyMap<string, number>): string | undefined {
  let best: string | undefined
  let most = 1
  for (const [pair, count] of counts)
    if (count > most || (count === most && best !== undefined && pair < best)) [best, most] = [pair, count]
  return best
}

function joined(symbols: readonly string[], [left, right]: readonly [string, string]): string[] {
  const out: string[] = []
  for (const symbol of symbols) {
    if (symbol === right && out.at(-1) === left) out[out.length - 1] = left + right
    else out.push(symbol)
  }
  return out
}
