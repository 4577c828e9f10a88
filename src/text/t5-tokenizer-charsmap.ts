import { ConfigError } from '../checkpoints/errors.ts'
import { PromptError } from './errors.ts'

/** Characters that a text may have once it is normalised: a character may stand for several. */
const most = 1_000_000

/**
 * SentencePiece's normalisation as models carry it (`precompiled_charsmap`; Kudo and Richardson 2018): what a sequence of bytes becomes,
 * found by a trie in a double array (Aoe 1989; darts-clone's units), the results one after another, each ended by a zero.
 *
 * Applied as the reference `tokenizers` does, which SentencePiece is not equal to: character by character, and of a grapheme of at most
 * five bytes the shortest beginning that the trie knows stands for all of it.
 *
 * @param file what errors name
 * @throws ConfigError for bytes that are no such map
 */
export function charsmap(bytes: Uint8Array, file: string): (text: string) => string {
  const fault = (reason: string) => new ConfigError(file, reason, { field: 'precompiled_charsmap' })
  if (bytes.length < 4) throw fault(`has ${bytes.length} bytes, 4 are the least`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const size = view.getUint32(0, true)
  if (size === 0 || size % 4 !== 0 || size > bytes.length - 4)
    throw fault(`its trie has ${size} bytes by its first four, and there are ${bytes.length - 4}`)
  const units = Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + 4 * i, true))
  const results = bytes.subarray(4 + size)
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(results)
  } catch (cause) {
    throw new ConfigError(file, 'its results are not UTF-8', { field: 'precompiled_charsmap', cause })
  }

  /** What the shortest beginning that the trie knows becomes. */
  function transformed(key: Uint8Array): string | undefined {
    let at = offsetOf(units[0] as number)
    for (const byte of key) {
      if (byte === 0) return undefined
      at ^= byte
      const unit = units[at]
      if (unit === undefined || labelOf(unit) !== byte) return undefined
      at ^= offsetOf(unit)
      if (!hasLeaf(unit)) continue
      const start = resultOf(units[at] ?? 0)
      const end = results.indexOf(0, start)
      return decoder.decode(results.subarray(start, end < 0 ? results.length : end))
    }
    return undefined
  }

  return (text) => {
    let normalised = ''
    for (const { segment } of graphemes.segment(text)) {
      if (normalised.length > most) throw new PromptError(`the prompt is more than ${most} characters once normalised`)
      const key = encoder.encode(segment)
      const whole = key.length < 6 ? transformed(key) : undefined
      if (whole !== undefined) normalised += whole
      else for (const character of segment) normalised += transformed(encoder.encode(character)) ?? character
    }
    return normalised
  }
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' })
const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** A unit of the double array: 31 bits of value in a leaf; else a label, whether a leaf follows, and an offset. */
const hasLeaf = (unit: number) => ((unit >>> 8) & 1) === 1
const resultOf = (unit: number) => unit & 0x7fffffff
const labelOf = (unit: number) => (unit & 0x800000ff) >>> 0
const offsetOf = (unit: number) => ((unit >>> 10) << ((unit & 0x200) >>> 6)) >>> 0
