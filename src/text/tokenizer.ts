import { Tokenizer } from '@huggingface/tokenizers'
import { ConfigError } from '../checkpoints/errors.ts'
import { isObject, type Json, readJson } from '../checkpoints/json.ts'
import { ArgumentError } from '../core/errors.ts'
import { inWords } from '../core/system-error.ts'
import { existsSync, join, readFileSync } from '../runtime/system.ts'
import { type BytePairs, clipBytes, endOfText, startOfText } from './bpe.ts'
import { checkLength, PromptError } from './errors.ts'

/** A token that is matched whole in a text, before the words are cut. */
interface AddedToken {
  readonly id: number
  readonly content: string
  readonly special: boolean
  /** Matched in the text as it is written (false) or as it is normalised. */
  readonly normalized: boolean
  readonly lstrip?: boolean
  readonly rstrip?: boolean
  readonly single_word?: boolean
}

interface Parts {
  readonly vocab: Json
  readonly merges: readonly unknown[]
  readonly added: readonly AddedToken[]
  readonly start: string
  readonly end: string
  readonly pad: string
  readonly maxLength: number
}

/**
 * CLIP's byte-pair tokenizer (Sennrich et al. 2016; Radford et al. 2021), to the numbers of transformers' `CLIPTokenizer`.
 *
 * The padding is a trap of its own: Stable Diffusion 1 pads with the end token, 2 and the second encoder of XL with "!", which is
 * then matched whole, so that "wow!" ends in another token there.
 */
export class ClipTokenizer {
  /** Numbers of the tokens around a text, and of the one behind it. */
  readonly start: number
  readonly end: number
  readonly pad: number
  /** Tokens of a padded text, start and end included. */
  readonly maxLength: number
  /** Tokens in all: the rows of the table that embeds them. */
  readonly size: number
  private readonly parts: Parts
  private readonly tokenizer: Tokenizer
  /** The numbers that one added token of several vectors stands for. */
  private readonly runs: ReadonlyMap<number, readonly number[]>

  private constructor(parts: Parts, runs: ReadonlyMap<number, readonly number[]> = new Map()) {
    this.parts = parts
    this.runs = runs
    this.maxLength = parts.maxLength
    this.tokenizer = new Tokenizer(layout(parts), {})
    const number = (token: string) => {
      const id = this.tokenizer.token_to_id(token)
      if (id === undefined) throw new ArgumentError(`tokenizer: the vocabulary has no ${JSON.stringify(token)}`)
      return id
    }
    this.start = number(parts.start)
    this.end = number(parts.end)
    this.pad = number(parts.pad)
    const numbers = [...Object.values(parts.vocab).map(Number), ...parts.added.map(({ id }) => id)]
    this.size = 1 + numbers.reduce((most, id) => Math.max(most, id), -1)
    this.tokenizer.normalizer = normalise as unknown as Tokenizer['normalizer']
  }

  /**
   * A folder's tokenizer: `tokenizer.json`, or `vocab.json` and `merges.txt`; `tokenizer_config.json` and
   * `special_tokens_map.json` say which tokens start, end and pad, `added_tokens.json` which were added.
   *
   * @throws ConfigError for files that are missing or do not hold what they must
   */
  static open(dir: string): ClipTokenizer {
    const config = optional(dir, 'tokenizer_config.json')
    const whole = optional(dir, 'tokenizer.json')
    // Where the config lists the added tokens, the reference reads no other file for them.
    const older = isObject(config.added_tokens_decoder) ? {} : optional(dir, 'special_tokens_map.json')
    const named = { ...config, ...older }
    const model = isObject(whole.model) ? whole.model : undefined
    const vocab = model ? model.vocab : readJson(join(dir, 'vocab.json'))
    const merges = model ? model.merges : mergesOf(join(dir, 'merges.txt'))
    if (!isObject(vocab) || !Array.isArray(merges)) {
      throw new ConfigError(join(dir, 'tokenizer.json'), 'must hold a byte-pair model with vocab and merges', { field: 'model' })
    }
    const wanted = (role: string, other: string) => contentOf(named[role]) ?? other
    const [start, end] = [wanted('bos_token', '<|startoftext|>'), wanted('eos_token', '<|endoftext|>')]
    const pad = wanted('pad_token', end)
    const added = new Map<string, AddedToken>()
    const put = (id: unknown, token: unknown) => {
      const content = contentOf(token)
      if (content === undefined || !Number.isInteger(Number(id))) return
      const fields = isObject(token) ? token : {}
      added.set(content, {
        ...fields,
        id: Number(id),
        content,
        special: fields.special !== false,
        normalized: fields.normalized === true,
      })
    }
    if (Array.isArray(whole.added_tokens)) for (const token of whole.added_tokens) put(token?.id, token)
    for (const [content, id] of Object.entries(optional(dir, 'added_tokens.json'))) {
      put(id, { content, special: false, normalized: true })
    }
    if (isObject(config.added_tokens_decoder))
      for (const [id, token] of Object.entries(config.added_tokens_decoder)) put(id, token)
    // The three are matched whole, whatever the files say of it.
    for (const token of [start, end, pad]) if (!added.has(token)) put(vocab[token], token)
    const length = Number(config.model_max_length)
    const maxLength = length > 2 && length < 1e6 ? length : 77
    return new ClipTokenizer({ vocab, merges, added: [...added.values()], start, end, pad, maxLength })
  }

  /**
   * OpenAI's own form of CLIP's vocabulary, `bpe_simple_vocab_16e6.txt`: the bytes, the bytes that end words, what each pair makes, and
   * the two tokens at a text's ends.
   */
  static ofMerges(merges: readonly string[], maxLength = 77): ClipTokenizer {
    const made = merges.map((pair) => pair.replace(' ', ''))
    const tokens = [...clipBytes, ...clipBytes.map((byte) => `${byte}</w>`), ...made, startOfText, endOfText]
    const vocab = Object.fromEntries(tokens.map((token, i) => [token, i]))
    const added = [startOfText, endOfText].map((content) => ({
      ...{ id: vocab[content] as number, content, special: true, normalized: false },
    }))
    return new ClipTokenizer({ vocab, merges, added, start: startOfText, end: endOfText, pad: endOfText, maxLength })
  }

  /**
   * The numbers of a text, without start, end and padding.
   *
   * @throws PromptError beyond 32,000 characters, or for half a surrogate pair
   */
  encode(text: string): number[] {
    checkLength(text)
    if (!text.isWellFormed()) throw new PromptError('the prompt has half a surrogate pair')
    const ids: number[] = this.tokenizer.encode(text, { add_special_tokens: false }).ids
    return this.runs.size === 0 ? ids : ids.flatMap((id) => this.runs.get(id) ?? id)
  }

  /** Start, the tokens as far as they fit, end, padding: `length` numbers, `maxLength` unless given. */
  frame(ids: readonly number[], length = this.maxLength): number[] {
    const kept = ids.slice(0, length - 2)
    return [this.start, ...kept, this.end, ...Array<number>(length - 2 - kept.length).fill(this.pad)]
  }

  /** The vocabulary and the merges, from which the tokenizer can be written again. */
  get pairs(): BytePairs {
    const { vocab, merges } = this.parts
    return {
      vocab: vocab as Record<string, number>,
      merges: merges.map((merge) => (Array.isArray(merge) ? merge : String(merge).split(' ')) as [string, string]),
    }
  }

  /** The same tokenizer for texts of another length, start and end included. */
  padded(maxLength: number): ClipTokenizer {
    if (!Number.isInteger(maxLength) || maxLength < 3)
      throw new ArgumentError(`tokenizer: texts of ${maxLength} tokens: 3 are the least`)
    return new ClipTokenizer({ ...this.parts, maxLength }, this.runs)
  }

  /** What the numbers stand for, for people to read. */
  decode(ids: readonly number[]): string {
    return ids.length === 0 ? '' : this.tokenizer.decode([...ids], { clean_up_tokenization_spaces: false }).trim()
  }

  /** The number of a token of the vocabulary, as `cat</w>`. */
  idOf(token: string): number | undefined {
    return this.tokenizer.token_to_id(token)
  }

  /**
   * A tokenizer with further tokens, numbered from `size` on in the order given.
   *
   * @param tokens each with the number of vectors that it stands for
   * @throws ArgumentError for a token that is there already
   */
  with(tokens: ReadonlyMap<string, number>): ClipTokenizer {
    const added = [...this.parts.added]
    const runs = new Map(this.runs)
    let id = this.size
    for (const [content, count] of tokens) {
      const first = id
      if (content === '' || count < 1)
        throw new ArgumentError(`tokenizer: ${JSON.stringify(content)} of ${count} vectors is no token`)
      if (this.idOf(content) !== undefined) throw new ArgumentError(`tokenizer: ${JSON.stringify(content)} is a token already`)
      runs.set(
        id,
        Array.from({ length: count }, (_, i) => first + i),
      )
      for (let i = 0; i < count; i++) {
        added.push({ id: first + i, content: i === 0 ? content : `${content}_${i}`, special: false, normalized: true })
      }
      id += count
    }
    return new ClipTokenizer({ ...this.parts, added }, runs)
  }
}

/** The steps of the reference in the form of a `tokenizer.json`. */
function layout({ vocab, merges, added, start, end }: Parts): object {
  const bytePattern = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]+|[^ \\p{L}\\p{N}]+"
  // After `normalise` the only white space is the space itself.
  const pattern = "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^ \\p{L}\\p{N}]+"
  return {
    added_tokens: added,
    normalizer: { type: 'Sequence', normalizers: [{ type: 'NFC' }, { type: 'Lowercase' }] },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: pattern }, behavior: 'Removed', invert: true },
        // What ByteLevel's own regular expression does, which takes U+FEFF for a space in JavaScript.
        { type: 'Split', pattern: { Regex: bytePattern }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: { type: 'RobertaProcessing', sep: [end, vocab[end]], cls: [start, vocab[start]], trim_offsets: false },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', vocab, merges, unk_token: end, end_of_word_suffix: '</w>', fuse_unk: false },
  }
}

/**
 * What the reference does before words are cut, where the library differs from it: white space is Unicode's, and sigma is
 * lower-cased without a look at whether it ends its word. The space at the end, which is no token, keeps the library from taking
 * a text for a special token that it only equals once it is lower-cased.
 */
const normalise = (text: string): string =>
  `${Array.from(text.normalize('NFC').replace(/\p{White_Space}+/gu, ' '), (character) => character.toLowerCase()).join('')} `

const optional = (dir: string, name: string): Json => (existsSync(join(dir, name)) ? readJson(join(dir, name)) : {})

/** A token is written as text, or as an object with its text. */
function contentOf(token: unknown): string | undefined {
  if (typeof token === 'string') return token
  return isObject(token) && typeof token.content === 'string' ? token.content : undefined
}

function mergesOf(file: string): string[] {
  try {
    const lines = readFileSync(file, 'utf8').split('\n')
    return lines.filter((line, i) => line.trim() !== '' && !(i === 0 && line.startsWith('#version')))
  } catch (cause) {
    throw new ConfigError(file, `cannot be read: ${inWords(cause)}`, { cause })
  }
}
