import { ConfigError } from '../checkpoints/errors.ts'
import { checkLength, PromptError } from './errors.ts'
import { addedTokens } from './t5-tokenizer-added.ts'
import { charsmap } from './t5-tokenizer-charsmap.ts'
import { readT5Vocabulary, type T5Vocabulary } from './t5-tokenizer-files.ts'
import { unigram } from './t5-tokenizer-unigram.ts'

/** Stands for the blank before a word. */
const blank = '▁'

/** A text's tokens, padded, and which of them are the text's: 1, and 0 the padding. */
export interface FramedText {
  readonly ids: readonly number[]
  readonly mask: readonly number[]
}

/**
 * T5's unigram tokenizer (Kudo 2018; Raffel et al. 2020), to the numbers of transformers' `T5Tokenizer`: the model's own normalisation,
 * words cut at white space, each with a blank before it, in its likeliest pieces. There is no token at the start.
 */
export class T5Tokenizer {
  /** Numbers of the token behind a text, of the padding, and of what is unknown. */
  readonly end: number
  readonly pad: number
  readonly unknown: number
  /** Tokens in all: the rows of the table that embeds them, at least. */
  readonly size: number
  /** Tokens that the folder's config gives a text at most, where it does. */
  readonly maxLength: number | undefined
  private readonly numbers: ReadonlyMap<string, number>
  private readonly names: ReadonlyMap<number, string>
  private readonly cut: (word: string) => number[]
  private readonly normalise: (text: string) => string
  private readonly written: ReturnType<typeof addedTokens>
  private readonly normalised: ReturnType<typeof addedTokens>

  private constructor(vocabulary: T5Vocabulary) {
    const { pieces, added, unknown, file } = vocabulary
    const pieceIds = new Map(pieces.map(([piece], id) => [piece, id]))
    // A token that the pieces have keeps its number, whatever other files say.
    const tokens = added.map((token) => ({ ...token, id: pieceIds.get(token.content) ?? token.id }))
    const ids = new Map([...pieceIds, ...tokens.map(({ content, id }) => [content, id] as const)])
    this.numbers = ids
    const number = (token: string) => {
      const id = ids.get(token)
      if (id === undefined) throw new ConfigError(file, `has no ${JSON.stringify(token)}`)
      return id
    }
    this.unknown = unknown
    this.end = number(vocabulary.end)
    this.pad = number(vocabulary.pad)
    this.size = 1 + [...ids.values()].reduce((most, id) => Math.max(most, id), -1)
    this.maxLength = vocabulary.maxLength
    this.names = new Map([...ids].map(([name, id]) => [id, name]))
    this.cut = unigram(pieces, unknown)
    this.normalise = vocabulary.charsmap ? charsmap(vocabulary.charsmap, file) : (text) => text
    this.written = addedTokens(tokens.filter(({ normalized }) => !normalized))
    const late = tokens.filter(({ normalized }) => normalized)
    const normalised = late.map((token) => ({ ...token, content: this.normalise(token.content) }))
    this.normalised = addedTokens(normalised.filter(({ content }) => content !== ''))
  }

  /**
   * A folder's tokenizer: `tokenizer.json`, or `spiece.model`, behind whose pieces the 100 sentinels stand. `tokenizer_config.json`
   * says which tokens end and pad, and which were added.
   *
   * @throws ConfigError for files that are missing or do not hold what they must
   */
  static open(dir: string): T5Tokenizer {
    return new T5Tokenizer(readT5Vocabulary(dir))
  }

  /**
   * The numbers of a text, without the end token and padding.
   *
   * @throws PromptError beyond 32,000 characters, or for half a surrogate pair
   */
  encode(text: string): number[] {
    checkLength(text)
    if (!text.isWellFormed()) throw new PromptError('the prompt has half a surrogate pair')
    return this.written(text).flatMap((part) => {
      if (typeof part === 'number') return part
      return this.normalised(this.normalise(part)).flatMap((one) => (typeof one === 'number' ? one : this.words(one)))
    })
  }

  /** The tokens as far as they fit, the end token, padding: `length` numbers. Without a length nothing is cut or padded. */
  frame(ids: readonly number[], length = ids.length + 1): FramedText {
    if (!Number.isInteger(length) || length < 1) throw new PromptError(`a text of ${length} tokens: 1, the end, is the least`)
    const text = [...ids.slice(0, length - 1), this.end]
    const padding = Array<number>(length - text.length).fill(0)
    return { ids: [...text, ...padding.map(() => this.pad)], mask: [...text.map(() => 1), ...padding] }
  }

  /** What the numbers stand for, for people to read. */
  decode(ids: readonly number[]): string {
    const shown = ids.filter((id) => id !== this.pad && id !== this.end)
    return shown
      .map((id) => this.names.get(id) ?? '')
      .join('')
      .replaceAll(blank, ' ')
      .trim()
  }

  /** The number of a token of the vocabulary, as `▁cat`. */
  idOf(token: string): number | undefined {
    return this.numbers.get(token)
  }

  /** Words at white space, each behind a blank, and cut before each blank within. */
  private words(text: string): number[] {
    const words = text.split(/\p{White_Space}+/u).filter((word) => word !== '')
    return words.flatMap((word) => {
      const marked = word.startsWith(blank) ? word : blank + word
      return marked.split(/(?=▁)/u).flatMap(this.cut)
    })
  }
}
