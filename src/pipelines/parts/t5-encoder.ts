import { ArgumentError } from '../../core/errors.ts'
import { input } from '../../core/tensor.ts'
import type { T5Config } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import { T5Tokenizer } from '../../text/index.ts'
import { build } from '../open/classes.ts'
import { type Network, openNetwork } from '../open/network.ts'
import type { Part } from '../open/parts.ts'
import type { ModelSource } from '../open/source.ts'
import { turns } from './turns.ts'

const classes = ['T5EncoderModel', 'UMT5EncoderModel'] as const

/** T5's or UMT5's encoder as a checkpoint has it, with its tokenizer. */
export interface T5TextEncoder extends Network<T5Config> {
  readonly className: (typeof classes)[number]
  /** The component's name, as `text_encoder_3`. */
  readonly name: string
  readonly tokenizer: T5Tokenizer
}

/** Such an encoder among a page's parts, with its tokenizer's component. `optional(…)` where a model may lack it. */
export const t5TextEncoder = (tokenizer: string): Part<T5TextEncoder> => ({
  open: (source, component) => ({
    ...openNetwork(source.network(component, classes)),
    name: component,
    tokenizer: openT5Tokenizer(source, tokenizer),
  }),
})

/** T5's tokenizer, slow or fast: the files are the same. */
export const openT5Tokenizer = (source: ModelSource, component: string): T5Tokenizer =>
  T5Tokenizer.open(source.tokenizer(component, ['T5Tokenizer', 'T5TokenizerFast']))

/** Tokens that Stable Diffusion 3's T5 reads where nothing else says it: diffusers' 256, or fewer where its tokenizer says so. */
export const t5Length = ({ tokenizer }: Pick<T5TextEncoder, 'tokenizer'>): number => Math.min(tokenizer.maxLength ?? 256, 256)

/** How many tokens a text is cut or padded to, and whether padding is hidden from the encoder's attention. */
export interface T5Reading {
  readonly length: number
  readonly masked: boolean
}

/** What the encoder makes of one text. */
export interface T5Encoded {
  /** After the final norm: f32 [1, length, D]. */
  readonly states: NdArray<'f32'>
  /** i64 [1, length]: 1 the text's tokens and its end, 0 padding. */
  readonly mask: NdArray<'i64'>
  /** Tokens of the text and its end that were left out, as they did not fit. */
  readonly left: number
}

/** Such an encoder at work. */
export interface WorkingT5Encoder {
  readonly tokenizer: T5Tokenizer
  readonly config: T5Config
  encode(text: string, reading: T5Reading): Promise<T5Encoded>
  /** Frees the engine's memory; a later text compiles anew. */
  release(): Promise<void>
}

/** One program for a length, with a mask or without; the last used is kept. */
export function t5Encoder(
  { className, name, config, weights, tokenizer }: T5TextEncoder,
  options: CompileOptions,
): WorkingT5Encoder {
  const turn = turns()
  const programs = new Programs((key: string) => {
    const { length, masked } = JSON.parse(key) as T5Reading
    const given = (name: string) => input(name, [1, length], 'i64')
    const network = build(className, new Params(), config)
    return compile({ outputs: { states: network(given('tokens'), masked ? given('mask') : undefined) }, weights }, options)
  }, 1)
  return {
    tokenizer,
    config,
    encode: (text, { length, masked }) =>
      turn(async () => {
        const all = tokenizer.encode(text)
        const framed = tokenizer.frame(all, length)
        const beyond = framed.ids.find((id) => id >= config.vocab_size)
        if (beyond !== undefined)
          throw new ArgumentError(
            `${name} knows ${config.vocab_size} tokens, and its tokenizer gives number ${beyond}: they do not belong together`,
          )
        const [tokens, mask] = [framed.ids, framed.mask].map(
          (ids) => new NdArray(BigInt64Array.from(ids, BigInt), [1, length], 'i64'),
        ) as [NdArray<'i64'>, NdArray<'i64'>]
        const program = await programs.get(JSON.stringify({ length, masked }))
        const { states } = await program.run({ tokens, ...(masked && { mask }) })
        return { states: states as NdArray<'f32'>, mask, left: Math.max(0, all.length + 1 - length) }
      }),
    release: () => turn(() => programs.release()),
  }
}
