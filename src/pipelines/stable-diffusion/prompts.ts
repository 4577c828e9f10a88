import { input } from '../../core/tensor.ts'
import { clipText, clipTextWithProjection } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import {
  type Chunk,
  type ClipTokenizer,
  chunkPrompt,
  equalChunks,
  type PromptSyntax,
  tokensOf,
  weighStates,
} from '../../text/index.ts'
import type { Components, TextEncoder } from './parts.ts'

/** What a U-Net is told by a text. */
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
  const encoders = text.map((encoder) => encoding(encoder, xl, compileOptions))

  return {
    async encode({ prompt, negative, prompt2 = prompt, negative2 = negative, guided, clipSkip, syntax }) {
      const found: Condition[][] = []
      for (const [i, { name, tokenizer }] of text.entries()) {
        const second = name === 'text_encoder_2'
        const both = [second ? prompt2 : prompt, (second ? negative2 : negative) ?? '']
        const wanted = guided ? both : both.slice(0, 1)
        const chunks = wanted.map((one) => chunksOf(tokenizer, one, syntax))
        const each: Condition[] = []
        for (const [k, own] of equalChunks(tokenizer, chunks).entries()) {
          // In diffusers only the prompt skips layers.
          each.push(await (encoders[i] as Encoding).run(own, k === 0 ? clipSkip : undefined))
        }
        found.push(each)
      }
      const [positive, second] = (found[0] as Condition[]).map((_, k) => joined(found.map((each) => each[k] as Condition)))
      const zeros = xl && negative === undefined && options.force_zeros_for_empty_prompt !== false
      return { positive: positive as Condition, negative: second && zeros ? emptied(second) : second }
    },
    async release() {
      for (const { programs } of encoders) await programs.release()
    },
  }
}

/** `plain` is what diffusers does of itself: nothing weighs more, and what the encoder has no place for is cut off. */
function chunksOf(tokenizer: ClipTokenizer, prompt: string, syntax: PromptSyntax): Chunk[] {
  if (syntax !== 'plain') return chunkPrompt(tokenizer, prompt, syntax)
  const ids = tokenizer.frame(tokenizer.encode(prompt))
  return [{ ids, weights: ids.map(() => 1) }]
}

interface Encoding {
  readonly programs: Programs<string>
  run(chunks: readonly Chunk[], clipSkip: number | undefined): Promise<Condition>
}

function encoding({ config, weights, projected }: TextEncoder, xl: boolean, options: CompileOptions): Encoding {
  const programs = new Programs((key: string) => {
    const [count, length, skip] = key.split(' ') as [string, string, string]
    const tokens = input('tokens', [Number(count), Number(length)], 'i64')
    const { states, pooled } = draw(tokens, skip === '' ? undefined : Number(skip))
    return compile({ outputs: pooled ? { states, pooled } : { states }, weights }, options)
  })
  const draw = (tokens: ReturnType<typeof input>, skip: number | undefined) => {
    const projection = projected ? clipTextWithProjection(new Params(), config)(tokens) : undefined
    const output = projection ?? clipText(new Params(), config)(tokens)
    if (xl) return { states: output.layer(1 + (skip ?? 0), { norm: false }), pooled: projection?.textEmbeds }
    return { states: skip === undefined ? output.lastHiddenState : output.layer(skip, { norm: true }), pooled: undefined }
  }
  return {
    programs,
    async run(chunks, clipSkip) {
      const tokens = tokensOf(chunks)
      const program = await programs.get([...tokens.shape, clipSkip ?? ''].join(' '))
      const { states, pooled } = (await program.run({ tokens })) as { states: NdArray<'f32'>; pooled?: NdArray<'f32'> }
      // Of a prompt in several chunks the first is pooled.
      return { context: weighStates(states, chunks, { kind: 'scale' }), pooled: pooled?.slice(0, 0, 1) }
    },
  }
}

/** The states of both encoders side by side; the pooled text is the last encoder's. */
function joined(conditions: readonly Condition[]): Condition {
  const most = Math.max(...conditions.map(({ context }) => context.shape[1] as number))
  const contexts = conditions.map(({ context }) => padded(context, most))
  return { context: NdArray.concat(contexts, 2), pooled: conditions.at(-1)?.pooled }
}

/** Two tokenizers may cut a prompt into different numbers of chunks: the shorter repeats its last. */
function padded(context: NdArray<'f32'>, length: number): NdArray<'f32'> {
  const own = context.shape[1] as number
  return own === length ? context : NdArray.concat([context, context.slice(1, own - (length - own))], 1)
}

const emptied = ({ context, pooled }: Condition): Condition => ({
  context: NdArray.zeros(context.shape),
  pooled: pooled && NdArray.zeros(pooled.shape),
})
