import { Template } from '@huggingface/jinja'
import { Tokenizer } from '@huggingface/tokenizers'
import { ConfigError } from '../checkpoints/errors.ts'
import { isObject, type Json, readJson } from '../checkpoints/json.ts'
import { existsSync, join, readFileSync } from '../runtime/system.ts'
import { checkLength, PromptError } from './errors.ts'

/** The tokenizer of a language model, from `tokenizer.json`, with its template for conversations where it has one. */
export class LanguageTokenizer {
  private readonly dir: string
  private readonly tokenizer: Tokenizer
  private readonly config: Json

  private constructor(dir: string, tokenizer: Tokenizer, config: Json) {
    this.dir = dir
    this.tokenizer = tokenizer
    this.config = config
  }

  /** @throws ConfigError where the file is missing or cannot be followed */
  static open(dir: string): LanguageTokenizer {
    const file = join(dir, 'tokenizer.json')
    if (!existsSync(file))
      throw new ConfigError(file, 'no such file: the folder needs the tokenizer.json of its model, or name one with --tokenizer')
    const whole = readJson(file)
    const settings = join(dir, 'tokenizer_config.json')
    const config = existsSync(settings) ? readJson(settings) : {}
    try {
      return new LanguageTokenizer(dir, new Tokenizer(whole, config), config)
    } catch (cause) {
      throw new ConfigError(file, `is not a tokenizer that can be followed: ${(cause as Error).message}`, { cause })
    }
  }

  /** @throws PromptError beyond 32,000 characters, or for half a surrogate pair */
  encode(text: string): number[] {
    checkLength(text)
    if (!text.isWellFormed()) throw new PromptError('the text has half a surrogate pair')
    return text === '' ? [] : this.tokenizer.encode(text, { add_special_tokens: false }).ids
  }

  /** The text of these tokens; those that only steer the model are left out. */
  decode(ids: readonly number[]): string {
    return ids.length === 0
      ? ''
      : this.tokenizer.decode([...ids], { skip_special_tokens: true, clean_up_tokenization_spaces: false })
  }

  /** The number of a token of the vocabulary. */
  idOf(token: string): number | undefined {
    return this.tokenizer.token_to_id(token)
  }

  /** Tokens in all. */
  get size(): number {
    return 1 + Math.max(...this.tokenizer.get_added_tokens_decoder().keys(), ...this.tokenizer.get_vocab().values())
  }

  /** The token that texts start with, where the model's folder names one. */
  get start(): number | undefined {
    const named = contentOf(this.config.bos_token)
    return named === '' ? undefined : this.idOf(named)
  }

  /** Whether the model was tuned for conversations: its folder says how they are written. */
  get converses(): boolean {
    return this.template !== undefined
  }

  /** A message as the model's own template puts it, ready for the answer. @throws ConfigError where there is no template */
  asMessage(text: string): string {
    const { template } = this
    if (template === undefined)
      throw new ConfigError(join(this.dir, 'tokenizer_config.json'), 'has no chat_template: this model continues texts')
    try {
      return new Template(template).render({
        ...{ messages: [{ role: 'user', content: text }], add_generation_prompt: true },
        ...{ bos_token: contentOf(this.config.bos_token), eos_token: contentOf(this.config.eos_token) },
      })
    } catch (cause) {
      const reason = (cause as Error).message
      throw new ConfigError(this.dir, `its chat_template cannot be followed: ${reason}`, { field: 'chat_template', cause })
    }
  }

  private get template(): string | undefined {
    if (typeof this.config.chat_template === 'string') return this.config.chat_template
    const file = join(this.dir, 'chat_template.jinja')
    return existsSync(file) ? readFileSync(file, 'utf8') : undefined
  }
}

/** A token is written as text, or as an object with its text. */
function contentOf(token: unknown): string {
  if (typeof token === 'string') return token
  return isObject(token) && typeof token.content === 'string' ? token.content : ''
}
