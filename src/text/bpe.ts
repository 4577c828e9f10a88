import { saving, writeAtomic } from '../checkpoints/atomic.ts'
import { writeJson } from '../checkpoints/json.ts'
import { ArgumentError } from '../core/errors.ts'
import { join, mkdirSync } from '../runtime/system.ts'
import { learnMerges } from './byte-pair-merges.ts'

/** What CLIP's tokenizer is made of: numbers by token, and the pairs that are merged, the first before the others. */
export interface BytePairs {
  readonly vocab: Readonly<Record<string, number>>
  readonly merges: readonly (readonly [string, string])[]
}

/** Tokens that stand at the ends of a text. */
export const [startOfText, endOfText] = ['<|startoftext|>', '<|endoftext|>']
const endOfWord = '</w>'

/** The characters that stand for bytes: those that print stand for themselves, the rest for characters from 256 on (Radford et al. 2019). */
export const byteCharacters: readonly string[] = (() => {
  const prints = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173)
  let next = 256
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(prints(byte) ? byte : next++))
})()
/** The bytes in the order in which CLIP's vocabulary numbers them: those that print first. */
export const clipBytes: readonly string[] = [...byteCharacters].sort(
  (a, b) => (a.codePointAt(0) as number) - (b.codePointAt(0) as number),
)

/** How CLIP cuts a text into words. */
const words = /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\p{White_Space}\p{L}\p{N}]+/gu

/**
 * Learns CLIP's kind of byte-pair encoding (Sennrich et al. 2016, Algorithm 1): the most frequent pair of neighbours within words
 * is merged again and again, of two equally frequent the first in code-point order. It ends at `size` tokens or where every word
 * that comes twice is one token.
 *
 * @throws ArgumentError for a size that the bytes alone exceed
 */
export function trainBytePairs(texts: Iterable<string>, { size }: { readonly size: number }): BytePairs {
  const base = [...clipBytes, ...clipBytes.map((character) => character + endOfWord)]
  if (!Number.isInteger(size) || size < base.length + 2)
    throw new ArgumentError(`trainBytePairs: expected a size of ${base.length + 2} or more, got ${size}`)
  const counts = new Map<string, number>()
  for (const text of texts)
    for (const [word] of text.normalize('NFC').toLowerCase().matchAll(words)) counts.set(word, (counts.get(word) ?? 0) + 1)
  const pieces = [...counts].map(([word, count]) => ({ count, symbols: symbolsOf(word) }))
  const merges = learnMerges(pieces, size - base.length - 2)
  const tokens = [...base, ...merges.map((pair) => pair.join('')), startOfText, endOfText]
  return { vocab: Object.fromEntries(tokens.map((token, i) => [token, i])), merges }
}

function symbolsOf(word: string): string[] {
  const symbols = Array.from(new TextEncoder().encode(word), (byte) => byteCharacters[byte] as string)
  return [...symbols.slice(0, -1), symbols.at(-1) + endOfWord]
}

export interface BytePairDropout {
  /** The probability by which a merge that could be made is left out. */
  readonly rate: number
  /** A number in [0, 1) each time. */
  readonly uniform: () => number
}

/**
 * Cuts texts into CLIP's tokens by the merges themselves, as `ClipTokenizer.encode` does; with dropout otherwise each time: BPE-dropout
 * (Provilkov et al. 2020, Algorithm 1), by which a model in training sees the parts that words are made of.
 */
export function bytePairEncoder({ vocab, merges }: BytePairs) {
  const ranks = new Map(merges.map((pair, i) => [pair.join(' '), i]))
  return (text: string, { rate, uniform }: BytePairDropout = { rate: 0, uniform: () => 1 }): number[] => {
    const ids: number[] = []
    for (const [word] of text.normalize('NFC').toLowerCase().matchAll(words)) {
      const symbols = symbolsOf(word)
      for (;;) {
        let best = Infinity
        let at = -1
        for (let i = 1; i < symbols.length; i++) {
          const rank = ranks.get(`${symbols[i - 1]} ${symbols[i]}`)
          if (rank === undefined || (rate > 0 && uniform() < rate) || rank >= best) continue
          best = rank
          at = i
        }
        if (at < 0) break
        symbols.splice(at - 1, 2, `${symbols[at - 1]}${symbols[at]}`)
      }
      for (const symbol of symbols) {
        const id = vocab[symbol]
        if (id === undefined) throw new ArgumentError(`the vocabulary has no ${JSON.stringify(symbol)}`)
        ids.push(id)
      }
    }
    return ids
  }
}

/**
 * Writes a tokenizer's folder as transformers' `CLIPTokenizer` and `ClipTokenizer.open` read it.
 *
 * @param maxLength tokens of a padded text, start and end included
 */
export function saveTokenizer(dir: string, { vocab, merges }: BytePairs, { maxLength }: { readonly maxLength: number }): void {
  saving(dir, () => mkdirSync(dir, { recursive: true }))
  writeJson(join(dir, 'vocab.json'), { ...vocab })
  const lines = ['#version: 0.2', ...merges.map((pair) => pair.join(' ')), '']
  writeAtomic(join(dir, 'merges.txt'), lines.join('\n'))
  const special = { bos_token: startOfText, eos_token: endOfText, pad_token: endOfText, unk_token: endOfText }
  writeJson(join(dir, 'special_tokens_map.json'), special)
  writeJson(join(dir, 'tokenizer_config.json'), {
    ...special,
    add_prefix_space: false,
    do_lower_case: true,
    errors: 'replace',
    model_max_length: maxLength,
    tokenizer_class: 'CLIPTokenizer',
  })
}
