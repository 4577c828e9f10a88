import { ArgumentError } from '../../core/errors.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { cleanCaption, plainCaption } from '../../text/index.ts'
import type { BatchEntry } from '../parts/denoiser.ts'
import type { WorkingT5Encoder } from '../parts/t5-encoder.ts'

/** Tokens that IF's networks were trained with; `max_length` in a folder's `model_index.json` says other numbers. */
export const TOKENS = 77

interface Texts {
  readonly prompt: string
  readonly negative?: string | undefined
  readonly clean: boolean
  readonly promptEmbeds?: NdArray | undefined
  readonly negativePromptEmbeds?: NdArray | undefined
  readonly signal?: AbortSignal | undefined
}

interface Reader {
  readonly text: WorkingT5Encoder | undefined
  readonly tokens: number
  /** Width of the states that the network takes. */
  readonly width: number
  readonly place: string
}

/** What the prompts come to: the network's context, the negative's first where there is guidance. @throws ArgumentError */
export async function entriesOf(
  { text, tokens: most, width, place }: Reader,
  texts: Texts,
  guided: boolean,
): Promise<BatchEntry[]> {
  const { prompt, negative = '', clean, promptEmbeds, negativePromptEmbeds, signal } = texts
  const read = async (words: string, length: number): Promise<BatchEntry> => {
    if (!text)
      throw new ArgumentError(
        `${place} has no text encoder: give promptEmbeds${guided ? ' and negativePromptEmbeds' : ''}, or run it after a stage that has one`,
      )
    signal?.throwIfAborted()
    const { states, left } = await text.encode((clean ? cleanCaption : plainCaption)(words), { length, masked: true })
    if (left > 0) console.warn(`the prompt is longer than ${length} tokens: its last ${left} were left out`)
    return { context: states }
  }
  const given = (name: string, states: NdArray): BatchEntry => {
    const [one, , own] = states.shape
    if (states.shape.length !== 3 || one !== 1 || own !== width)
      throw new ArgumentError(`${name}: expected [1, tokens, ${width}], got [${states.shape.join(', ')}]`)
    return { context: states.cast('f32') }
  }
  const positive = promptEmbeds ? given('promptEmbeds', promptEmbeds) : await read(prompt, most)
  if (!guided) return [positive]
  const tokens = positive.context?.shape[1] as number
  const other = negativePromptEmbeds ? given('negativePromptEmbeds', negativePromptEmbeds) : await read(negative, tokens)
  if (other.context?.shape[1] !== tokens)
    throw new ArgumentError(`negativePromptEmbeds: ${other.context?.shape[1]} tokens, and promptEmbeds ${tokens}: give as many`)
  return [other, positive]
}
