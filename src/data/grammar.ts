import { ArgumentError } from '../core/errors.ts'
import { pick } from '../diffusion/discrete.ts'
import type { Generator } from '../runtime/random.ts'

/** A way to write a symbol: its parts are symbols, or words where no symbol has their name. */
export interface GrammarRule {
  readonly odds: number
  readonly parts: readonly string[]
}

/** A probabilistic context-free grammar of finitely many texts, about which everything is known exactly. */
export interface Grammar {
  readonly words: readonly string[]
  /** Words of the longest text. */
  readonly longest: number
  /** Nats of a text: the mean of −ln p, where every text is written in one way only. */
  readonly entropy: number
  /** A text, and its probability by the way it was written. */
  draw(generator: Generator): { readonly words: string[]; readonly probability: number }
  /** ln of a text's probability, all ways to write it together; −∞ for what the grammar does not write. */
  logProbability(words: readonly string[]): number
}

/**
 * Everything about a grammar's texts. Language models are measured on it: no bound may fall below the entropy, and a text is right or wrong.
 *
 * @throws ArgumentError for odds that do not sum to 1, and for a symbol within itself
 */
export function grammarOf(rules: Readonly<Record<string, readonly GrammarRule[]>>, start = 'S'): Grammar {
  const words = new Set<string>()
  const known = new Map<string, { readonly longest: number; readonly entropy: number }>()
  /** A symbol's longest text and its entropy: what choosing a rule tells, and what the parts tell (Grenander 1976). */
  const measured = (symbol: string, above: readonly string[]): { readonly longest: number; readonly entropy: number } => {
    if (above.includes(symbol)) throw new ArgumentError(`grammar: ${symbol} is written within itself; its texts have no longest`)
    const before = known.get(symbol)
    if (before) return before
    const ways = rules[symbol]
    if (!ways) {
      words.add(symbol)
      return { longest: 1, entropy: 0 }
    }
    const total = ways.reduce((sum, { odds }) => sum + odds, 0)
    if (Math.abs(total - 1) > 1e-9) throw new ArgumentError(`grammar: the odds of ${symbol} sum to ${total}, not 1`)
    const each = ways.map(({ odds, parts }) => {
      const inside = parts.map((part) => measured(part, [...above, symbol]))
      const of = (name: 'longest' | 'entropy') => inside.reduce((sum, part) => sum + part[name], 0)
      return { longest: of('longest'), entropy: odds > 0 ? odds * (of('entropy') - Math.log(odds)) : 0 }
    })
    const found = {
      longest: Math.max(...each.map(({ longest }) => longest)),
      entropy: each.reduce((sum, { entropy }) => sum + entropy, 0),
    }
    known.set(symbol, found)
    return found
  }
  const { longest, entropy } = measured(start, [])

  const draw = (symbol: string, generator: Generator): { words: string[]; probability: number } => {
    const ways = rules[symbol]
    if (!ways) return { words: [symbol], probability: 1 }
    const chosen = ways[
      pick(
        ways.map(({ odds }) => odds),
        generator.rand([1]).item(),
      )
    ] as GrammarRule
    const parts = chosen.parts.map((part) => draw(part, generator))
    return {
      words: parts.flatMap((part) => part.words),
      probability: parts.reduce((product, part) => product * part.probability, chosen.odds),
    }
  }

  return {
    words: [...words],
    longest,
    entropy,
    draw: (generator) => draw(start, generator),
    logProbability(text) {
      const seen = new Map<string, ReadonlyMap<number, number>>()
      /** Where a symbol that starts at a word may end, and with which probability (the inside algorithm). */
      const inside = (symbol: string, from: number): ReadonlyMap<number, number> => {
        const ways = rules[symbol]
        if (!ways) return new Map(text[from] === symbol ? [[from + 1, 1]] : [])
        const key = `${symbol} ${from}`
        const before = seen.get(key)
        if (before) return before
        const ends = new Map<number, number>()
        for (const { odds, parts } of ways) {
          let reached: ReadonlyMap<number, number> = new Map([[from, odds]])
          for (const part of parts) {
            const next = new Map<number, number>()
            for (const [at, p] of reached) for (const [end, q] of inside(part, at)) next.set(end, (next.get(end) ?? 0) + p * q)
            reached = next
          }
          for (const [end, p] of reached) ends.set(end, (ends.get(end) ?? 0) + p)
        }
        seen.set(key, ends)
        return ends
      }
      return Math.log(inside(start, 0).get(text.length) ?? 0)
    },
  }
}

const words = (odds: Readonly<Record<string, number>>): GrammarRule[] =>
  Object.entries(odds).map(([word, share]) => ({ odds: share, parts: [word] }))
const ways = (...all: readonly (readonly [number, string])[]): GrammarRule[] =>
  all.map(([odds, parts]) => ({ odds, parts: parts.split(' ') }))

/** A little English of up to 21 words: subjects agree with their verbs over clauses between, and what begins with `if` goes on with `then`. */
export const agreementGrammar: Grammar = grammarOf({
  S: ways([0.7, 'C .'], [0.3, 'if C then C .']),
  C: ways([0.5, 'one does'], [0.5, 'many do']),
  one: ways([0.6, 'a noun'], [0.4, 'a noun that sees object']),
  many: ways([0.6, 'some nouns'], [0.4, 'some nouns that see object']),
  does: ways([0.5, 'rests'], [0.5, 'sees object']),
  do: ways([0.5, 'rest'], [0.5, 'see object']),
  object: ways([0.5, 'a noun'], [0.5, 'some nouns']),
  a: words({ the: 0.5, every: 0.3, no: 0.2 }),
  some: words({ the: 0.5, few: 0.3, all: 0.2 }),
  noun: words({ dog: 0.4, cat: 0.3, fox: 0.2, owl: 0.1 }),
  nouns: words({ dogs: 0.4, cats: 0.3, foxes: 0.2, owls: 0.1 }),
  sees: words({ likes: 0.5, follows: 0.3, fears: 0.2 }),
  see: words({ like: 0.5, follow: 0.3, fear: 0.2 }),
  rests: words({ sleeps: 0.6, waits: 0.4 }),
  rest: words({ sleep: 0.6, wait: 0.4 }),
})
