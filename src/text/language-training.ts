import { saving } from '../checkpoints/atomic.ts'
import { writeJson } from '../checkpoints/json.ts'
import { ArgumentError } from '../core/errors.ts'
import { join, mkdirSync } from '../runtime/system.ts'
import { byteCharacters } from './bpe.ts'
import { learnMerges } from './byte-pair-merges.ts'
import type { LanguageTokenizer } from './language-tokenizer.ts'

/** Stands between two texts. */
export const endOfDocument = '<|endoftext|>'

/** How GPT-2 cuts a text into words: each takes the blank before it along (Radford et al. 2019). */
const words = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu

/** A byte-level vocabulary: numbers by token, and the pairs that are merged, the first before the others. */
export interface LanguageVocabulary {
  readonly vocab: Readonly<Record<string, number>>
  readonly merges: readonly (readonly [string, string])[]
}

/**
 * Learns GPT-2's kind of byte-pair encoding from texts: the 256 bytes, merges, and `<|endoftext|>`, `size` tokens at most. Every text can
 * be written in it, whatever its language. No JavaScript library that is kept up learns vocabularies; what reads them is one.
 *
 * @throws ArgumentError for a size that the bytes alone exceed
 */
export function trainLanguageVocabulary(texts: Iterable<string>, { size }: { readonly size: number }): LanguageVocabulary {
  const least = byteCharacters.length + 1
  if (!Number.isInteger(size) || size < least)
    throw new ArgumentError(`trainLanguageVocabulary: expected a size of ${least} or more, got ${size}`)
  const counts = new Map<string, number>()
  for (const text of texts) for (const [word] of text.matchAll(words)) counts.set(word, (counts.get(word) ?? 0) + 1)
  const cut = [...counts].map(([word, count]) => ({
    count,
    symbols: Array.from(new TextEncoder().encode(word), (byte) => byteCharacters[byte] as string),
  }))
  const merges = learnMerges(cut, size - least)
  const tokens = [...byteCharacters, ...merges.map((pair) => pair.join('')), endOfDocument]
  return { vocab: Object.fromEntries(tokens.map((token, i) => [token, i])), merges }
}

/** Writes a vocabulary as `tokenizer.json`, which transformers, `tokenizers` and `LanguageTokenizer.open` read. */
export function saveLanguageTokenizer(
  dir: string,
  { vocab, merges }: LanguageVocabulary,
  { maxLength }: { readonly maxLength: number },
): void {
  saving(dir, () => mkdirSync(dir, { recursive: true }))
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  const end = { id: vocab[endOfDocument], content: endOfDocument, special: true }
  writeJson(join(dir, 'tokenizer.json'), {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [{ ...end, single_word: false, lstrip: false, rstrip: false, normalized: false }],
    normalizer: null,
    pre_tokenizer: bytes,
    post_processor: null,
    decoder: bytes,
    model: {
      ...{ type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: '', end_of_word_suffix: '' },
      ...{ fuse_unk: false, byte_fallback: false, vocab: { ...vocab }, merges },
    },
  })
  writeJson(join(dir, 'tokenizer_config.json'), {
    add_prefix_space: false,
    clean_up_tokenization_spaces: false,
    eos_token: endOfDocument,
    model_max_length: maxLength,
    tokenizer_class: 'GPT2Tokenizer',
  })
}

/** Cuts texts of any length into such a vocabulary's tokens: each word once, as the tokenizer has it. */
export function languageEncoder(tokenizer: LanguageTokenizer): (text: string) => number[] {
  const known = new Map<string, readonly number[]>()
  return (text) => {
    const ids: number[] = []
    for (const [word] of text.matchAll(words)) {
      const own = known.get(word) ?? tokenizer.encode(word)
      known.set(word, own)
      ids.push(...own)
    }
    return ids
  }
}

/** How many bytes of text each token of such a vocabulary stands for: its end of a text is none. */
export function bytesOfTokens({ vocab }: LanguageVocabulary): Uint8Array {
  const bytes = new Uint8Array(Object.keys(vocab).length)
  for (const [token, id] of Object.entries(vocab)) bytes[id] = token === endOfDocument ? 0 : token.length
  return bytes
}
