import { NdArray } from '../../runtime/ndarray.ts'
import type { CompileOptions } from '../../runtime/program.ts'
import { type Chunk, type ClipTokenizer, chunkPrompt, equalChunks, type PromptSyntax } from '../../text/index.ts'
import { textEncoder, type WorkingTextEncoder } from '../parts/text-encoder.ts'
import type { Components } from './components.ts'

/** What a U-Net is conditioned on by a text. */
export interface Condition {
  /** f32 [1, M, D]. */
  readonly context: NdArray<'f32'>
  /** XL: the second encoder's pooled text, f32 [1, P]. */
  readonly pooled?: NdArray<'f32'> | undefined
}

export interface PromptOptions {
  readonly prompt: string
  readonly negative?: string | undefined
  /** XL: what the second encoder reads instead. */
  readonly prompt2?: string | undefined
  readonly negative2?: string | undefined
  /** Whether the negative prompt counts. */
  readonly guided: boolean
  /** Layers left out at the end; 0 as published. */
  readonly clipSkip?: number | undefined
  readonly syntax: PromptSyntax
}

export interface Prompts {
  /** The prompt's condition, and the negative's where it counts, of equal length. */
  encode(options: PromptOptions): Promise<{ readonly positive: Condition; readonly negative: Condition | undefined }>
  release(): Promise<void>
}

/** Texts to conditions, as diffusers' `encode_prompt` does for Stable Diffusion 1 and 2 and for XL. */
export function prompts({ text, options }: Components, xl: boolean, compileOptions: CompileOptions): Prompts {
  const encoders = text.map((encoder) => textEncoder(encoder, compileOptions))
  const stateOf = (encoder: WorkingTextEncoder, chunks: readonly Chunk[], skip: number) =>
    encoder.encode(chunks, xl ? { skip: 1 + skip, norm: false } : { skip, norm: true })

  return {
    async encode({ prompt, negative, prompt2 = prompt, negative2 = negative, guided, clipSkip = 0, syntax }) {
      const chunked = text.map(({ name, tokenizer }) => {
        const second = name === 'text_encoder_2'
        const both = [second ? prompt2 : prompt, (second ? negative2 : negative) ?? '']
        return (guided ? both : both.slice(0, 1)).map((one) => chunksOf(tokenizer, one, syntax))
      })
      // Every prompt of every encoder takes as many chunks as the longest.
      const longest = chunked.flat().reduce((a, b) => (b.length > a.length ? b : a))
      const found: Condition[][] = []
      for (const [i, { tokenizer }] of text.entries()) {
        const each: Condition[] = []
        const equal = equalChunks(tokenizer, [...(chunked[i] as Chunk[][]), longest]).slice(0, -1)
        for (const [k, own] of equal.entries()) {
          // In diffusers only the prompt skips layers.
          const { states, pooled } = await stateOf(encoders[i] as WorkingTextEncoder, own, k === 0 ? clipSkip : 0)
          each.push({ context: states, pooled: xl ? pooled : undefined })
        }
        found.push(each)
      }
      const [positive, second] = (found[0] as Condition[]).map((_, k) => joined(found.map((each) => each[k] as Condition)))
      const zeros = xl && negative === undefined && options.force_zeros_for_empty_prompt !== false
      return { positive: positive as Condition, negative: second && zeros ? emptied(second) : second }
    },
    async release() {
      for (const encoder of encoders) await encoder.release()
    },
  }
}

/** `plain` is what diffusers does of itself: nothing weighs more, and what the encoder has no place for is cut off. */
function chunksOf(tokenizer: ClipTokenizer, prompt: string, syntax: PromptSyntax): Chunk[] {
  if (syntax !== 'plain') return chunkPrompt(tokenizer, prompt, syntax)
  const ids = tokenizer.frame(tokenizer.encode(prompt))
  return [{ ids, weights: ids.map(() => 1) }]
}

/** The states of both encoders side by side; the pooled text is the last encoder's. */
const joined = (conditions: readonly Condition[]): Condition => ({
  context: NdArray.concat(
    conditions.map(({ context }) => context),
    2,
  ),
  pooled: conditions.at(-1)?.pooled,
})

const emptied = ({ context, pooled }: Condition): Condition => ({
  context: NdArray.zeros(context.shape),
  pooled: pooled && NdArray.zeros(pooled.shape),
})
