import { ArgumentError } from '../../core/errors.ts'
import type { UnmaskingOrder } from '../../diffusion/index.ts'
import type { LanguageConfig, MdlmConfig } from '../../models/index.ts'
import type { CompileOptions } from '../../runtime/program.ts'
import type { LanguageTokenizer } from '../../text/index.ts'
import type { OpenedNetwork } from '../open/network.ts'
import type { Plan, Releasable } from '../page.ts'
import type { MaskedClass, WorkingLanguageModel } from '../parts/language-model.ts'
import type { TextOptions } from './options.ts'

export interface TextModel extends Releasable {
  readonly network: OpenedNetwork<MaskedClass>
  readonly working: WorkingLanguageModel
  readonly tokenizer: LanguageTokenizer
  readonly compile: CompileOptions
  done(part: Releasable): Promise<void>
}

/** How a run goes, its defaults filled in by the model's class. */
export interface TextPlan {
  readonly plan: Plan
  readonly before: readonly number[]
  readonly after: readonly number[]
  /** The token that stands for what is not written yet. */
  readonly mask: number
  readonly length: number
  readonly steps: number
  readonly block: number
  readonly order: UnmaskingOrder
  readonly temperature: number
}

const isLlama = (className: MaskedClass) => className === 'LLaDAModelLM' || className === 'DreamModel'

/** @throws ArgumentError for settings that the model does not take, ConfigError, PromptError */
export function planOf({ network, tokenizer }: TextModel, settings: TextOptions): TextPlan {
  const { className, config, place } = network
  const { prompt, suffix = '', raw, guidance } = settings
  const llama = isLlama(className)
  const refuse = (name: keyof TextOptions, reason: string) => {
    throw new ArgumentError(`${name}: ${place} is a ${className}, ${reason}`)
  }
  if (!llama) {
    if (guidance > 0) refuse('guidance', 'which was not trained for it')
    for (const name of ['order', 'topK', 'threshold'] as const)
      if (settings[name] !== undefined) refuse(name, 'whose sampler draws all places alike')
  }
  if (className === 'SEDD')
    for (const name of ['temperature', 'topP'] as const)
      if (settings[name] !== undefined) refuse(name, 'which draws tokens by its scores as they are')
  const forward = className === 'BD3LM' || className === 'AR'
  if (forward && settings.suffix !== undefined) refuse('suffix', 'which writes from the beginning to the end')
  if (className === 'AR' && settings.steps !== undefined) refuse('steps', 'which takes one for each token')
  const spoken = llama && tokenizer.converses && !raw
  const told = tokenizer.encode(spoken ? tokenizer.asMessage(prompt) : prompt)
  // Block diffusion writes on from a token, the first of its texts.
  const before = className === 'BD3LM' && told.length === 0 && tokenizer.start !== undefined ? [tokenizer.start] : told
  const after = tokenizer.encode(suffix)
  const [mask, most, known] = llama ? ofLlama(config as LanguageConfig) : ofMdlm(config as MdlmConfig)
  const length = settings.length ?? Math.max(1, Math.min(128, most - before.length - after.length))
  const total = before.length + length + after.length
  if (total > most)
    throw new ArgumentError(
      `length: ${total} tokens with the prompt, and the model has seen ${most} at most; give at most ${Math.max(0, most - total + length)}`,
    )
  const beyond = [...before, ...after].find((id) => id >= known)
  if (beyond !== undefined)
    throw new ArgumentError(
      `${place} knows ${known} tokens, and its tokenizer gives number ${beyond}: they do not belong together`,
    )
  const own = className === 'BD3LM' ? ((config as MdlmConfig).block_size ?? length) : length
  const block = settings.block ?? own
  if (className === 'BD3LM' && block !== own) refuse('block', `which was trained on blocks of ${own}`)
  if (!llama && className !== 'BD3LM' && settings.block !== undefined)
    refuse('block', className === 'AR' ? 'which writes a token after another' : 'which writes all of the text at once')
  const steps = settings.steps ?? length
  const order = settings.order ?? (className === 'DreamModel' ? 'entropy' : 'confidence')
  const temperature = settings.temperature ?? (llama ? 0 : 1)
  const plan: Plan = {
    className,
    settings: {
      Steps: steps,
      Length: length,
      ...(llama && { Order: order }),
      ...(block < length && { Block: block }),
      Temperature: temperature,
      'CFG scale': guidance > 0 ? guidance : undefined,
    },
  }
  return { plan, before, after, mask, length, steps, block, order, temperature }
}

const ofLlama = ({ mask, length, vocabulary }: LanguageConfig) => [mask, length, vocabulary] as const
const ofMdlm = ({ vocab_size, model_length }: MdlmConfig) => [vocab_size - 1, model_length, vocab_size - 1] as const
