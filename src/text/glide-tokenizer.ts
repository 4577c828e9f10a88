import { Tokenizer } from '@huggingface/tokenizers'
import { ConfigError, FolderError } from '../checkpoints/errors.ts'
import { isObject } from '../checkpoints/json.ts'
import { inWords } from '../core/system-error.ts'
import { existsSync, gunzipSync, join, readFileSync } from '../runtime/system.ts'
import { checkLength, PromptError } from './errors.ts'

/** GPT-2's byte-pair tokenizer (Radford et al. 2019) as GLIDE has it: texts in small letters, without a start or an end. */
export class GlideTokenizer {
  /** Tokens in all; the last one fills what is short. */
  readonly size: number
  private readonly tokenizer: Tokenizer

  private constructor(vocab: Readonly<Record<string, number>>, merges: readonly string[]) {
    this.size = Object.keys(vocab).length
    const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
    const model = { type: 'BPE', vocab, merges, fuse_unk: false }
    const layout = { added_tokens: [], normalizer: null, pre_tokenizer: bytes, post_processor: null, decoder: bytes, model }
    this.tokenizer = new Tokenizer(layout as never, {})
  }

  /**
   * A folder's tokenizer: `encoder.json` and `vocab.bpe`, packed or not, or `vocab.json` and `merges.txt`; also in `tokenizer/` there.
   *
   * @throws FolderError where they are missing, ConfigError for files that do not hold what they must
   */
  static open(dir: string): GlideTokenizer {
    const found = [dir, join(dir, 'tokenizer')].flatMap((at) =>
      [
        ['encoder.json', 'vocab.bpe'],
        ['vocab.json', 'merges.txt'],
      ].map((names) => names.map((name) => fileOf(join(at, name)))),
    )
    const [vocabulary, pairs] = found.find((files) => files.every((file) => file !== undefined)) ?? []
    if (vocabulary === undefined || pairs === undefined)
      throw new FolderError(
        dir,
        "has no encoder.json and vocab.bpe: GLIDE's files hold no vocabulary; put its own, which is GPT-2's, beside them",
      )
    const vocab: unknown = parsed(vocabulary)
    if (!isObject(vocab) || !Object.values(vocab).every(Number.isInteger))
      throw new ConfigError(vocabulary, 'must hold numbers by token')
    return new GlideTokenizer(vocab as Record<string, number>, mergesIn(pairs))
  }

  /** The numbers of a text in small letters. @throws PromptError beyond 32,000 characters, or for half a surrogate pair */
  encode(text: string): number[] {
    checkLength(text)
    if (!text.isWellFormed()) throw new PromptError('the prompt has half a surrogate pair')
    return text === '' ? [] : this.tokenizer.encode(text.toLowerCase(), { add_special_tokens: false }).ids
  }

  /** As many of the numbers as fit, then the last token of all; 1 where a number is the text's. */
  frame(ids: readonly number[], length: number): { readonly ids: readonly number[]; readonly mask: readonly number[] } {
    const kept = ids.slice(0, length)
    const rest = length - kept.length
    return {
      ids: [...kept, ...Array<number>(rest).fill(this.size - 1)],
      mask: [...kept.map(() => 1), ...Array<number>(rest).fill(0)],
    }
  }
}

/** A file that is there, as it is or packed. */
const fileOf = (path: string): string | undefined => [path, `${path}.gz`].find((one) => existsSync(one))

/** A text file, unpacked. @throws ConfigError */
function textOf(path: string): string {
  try {
    const bytes = readFileSync(path)
    return (path.endsWith('.gz') ? gunzipSync(bytes, { maxOutputLength: 2 ** 26 }) : bytes).toString('utf8')
  } catch (cause) {
    throw new ConfigError(path, `cannot be read: ${inWords(cause)}`, { cause })
  }
}

function parsed(path: string): unknown {
  try {
    return JSON.parse(textOf(path))
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause
    throw new ConfigError(path, `is not JSON: ${(cause as Error).message}`, { cause })
  }
}

/** Pairs to merge, one a line, the first before the others; a line `#version` stands before them. */
export function mergesIn(path: string, most = Number.POSITIVE_INFINITY): string[] {
  const lines = textOf(path).split('\n')
  const merges = lines.slice(lines[0]?.startsWith('#') || most < Number.POSITIVE_INFINITY ? 1 : 0).map((line) => line.trim())
  return merges.filter((line) => line !== '').slice(0, most)
}
