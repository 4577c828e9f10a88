import { input, type Tensor } from '../../core/tensor.ts'
import type { ClipTextConfig, ClipTextOutput } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import { type Chunk, type ClipTokenizer, type MaskedChunk, tokensOf, weighStates } from '../../text/index.ts'
import { build } from '../open/classes.ts'
import { type Network, openNetwork } from '../open/network.ts'
import { openClipTokenizer, type Part } from '../open/parts.ts'
import { turns } from './turns.ts'

const classes = ['CLIPTextModel', 'CLIPTextModelWithProjection'] as const

/** CLIP's text encoder as a checkpoint has it, with its tokenizer. */
export interface TextEncoder extends Network<ClipTextConfig> {
  readonly className: (typeof classes)[number]
  /** The component's name, as `text_encoder_2`. */
  readonly name: string
  readonly tokenizer: ClipTokenizer
}

/** A text encoder among a page's parts, with its tokenizer's component. */
export const clipTextEncoder = (tokenizer: string, known: readonly (typeof classes)[number][] = classes): Part<TextEncoder> => ({
  open: (source, component) => ({
    ...openNetwork(source.network(component, known)),
    name: component,
    tokenizer: openClipTokenizer(source, tokenizer),
  }),
})

/** Which states of the encoder stand for a text. */
export interface TextLayer {
  /** Layers left out at the end; 0 is the last. */
  readonly skip: number
  /** Whether the final norm follows. */
  readonly norm: boolean
  /** Whether an encoder without a projection gives the end-of-text state too, after the final norm. */
  readonly end?: boolean
}

/** What an encoder makes of one text. */
export interface EncodedText {
  /** f32 [1, M, D]. */
  readonly states: NdArray<'f32'>
  /** Of an encoder with a projection: the projected end-of-text state, f32 [1, P]; of another, the state itself where it is asked for. */
  readonly pooled: NdArray<'f32'> | undefined
}

/** A text encoder at work. */
export interface WorkingTextEncoder {
  readonly tokenizer: ClipTokenizer
  /** A text in chunks as long as the encoder reads, side by side; what weighs more is scaled. Of several chunks the first is pooled. */
  encode(chunks: readonly Chunk[], layer: TextLayer): Promise<EncodedText>
  /** Texts by themselves, of which some tokens are not seen: states [texts, N, D], pooled [texts, P]. */
  encodeMasked(chunks: readonly MaskedChunk[], layer: TextLayer): Promise<EncodedText>
  release(): Promise<void>
}

/** One program for a number of chunks and a layer. */
export function textEncoder(encoder: TextEncoder, options: CompileOptions): WorkingTextEncoder {
  const { className, config, weights, tokenizer } = encoder
  const projected = className === 'CLIPTextModelWithProjection'
  const turn = turns()
  const programs = new Programs((key: string) => {
    const [count, length, skip, norm, masked, end] = JSON.parse(key) as [number, number, number, boolean, boolean, boolean?]
    const network = build(className, new Params(), config)
    const mask = masked ? input('mask', [count, length]) : undefined
    const output = network(input('tokens', [count, length], 'i64'), mask) as ClipTextOutput & { readonly textEmbeds?: Tensor }
    const states = skip === 0 && norm ? output.lastHiddenState : output.layer(skip, { norm })
    const pooled = projected ? output.textEmbeds : end ? output.pooled : undefined
    return compile({ outputs: { states, ...(pooled && { pooled }) }, weights }, options)
  })
  return {
    tokenizer,
    encode: (chunks, { skip, norm, end = false }) =>
      turn(async () => {
        const tokens = tokensOf(chunks)
        const program = await programs.get(JSON.stringify([...tokens.shape, skip, norm, false, end]))
        const { states, pooled } = (await program.run({ tokens })) as { states: NdArray<'f32'>; pooled?: NdArray<'f32'> }
        return { states: weighStates(states, chunks, { kind: 'scale' }), pooled: pooled?.slice(0, 0, 1) }
      }),
    encodeMasked: (chunks, { skip, norm }) =>
      turn(async () => {
        const tokens = tokensOf(chunks.map(({ ids }) => ({ ids, weights: [] })))
        const mask = NdArray.from(
          chunks.flatMap(({ mask }) => mask.map(Number)),
          tokens.shape,
        )
        const program = await programs.get(JSON.stringify([...tokens.shape, skip, norm, true]))
        const { states, pooled } = (await program.run({ tokens, mask })) as { states: NdArray<'f32'>; pooled?: NdArray<'f32'> }
        return { states, pooled }
      }),
    release: () => turn(() => programs.release()),
  }
}
