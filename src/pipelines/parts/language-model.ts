import { ArgumentError } from '../../core/errors.ts'
import { range } from '../../core/shape.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import type { KeysAndValues, MdlmConfig } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { tokenRotation } from '../../nn/positions.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import type { Weights } from '../../runtime/weights.ts'
import { build, type ClassName, type ConfigOf } from '../open/classes.ts'
import type { Releasable } from '../page.ts'
import { turns } from './turns.ts'

export type MaskedClass = 'LLaDAModelLM' | 'DreamModel' | 'MDLM' | 'BD3LM' | 'SEDD' | 'AR'

interface Stored<N extends ClassName> {
  readonly className: N
  readonly config: ConfigOf<N>
  readonly weights: Weights
}

/** A language model at work. */
export interface WorkingLanguageModel extends Releasable {
  /** tokens i64 [B, N], total noise σ (of the networks that are told it) → logits f32 [B, N, V]. */
  logits(tokens: NdArray<'i64'>, sigma?: number): Promise<NdArray<'f32'>>
}

/** One program for a number of texts and of tokens; the last used is kept. */
export function languageModel<N extends MaskedClass>(
  { className, config, weights }: Stored<N>,
  options: CompileOptions,
  { quantize }: { readonly quantize?: 'int8' | 'int4' | undefined } = {},
): WorkingLanguageModel {
  if (quantize === 'int8')
    throw new ArgumentError(`${className}: of few bits only int4 is there; int8 needs ranges that nothing finds yet`)
  const turn = turns()
  const programs = new Programs((key: string) => {
    const [B, N] = JSON.parse(key) as [number, number]
    const tokens = input('tokens', [B, N], 'i64')
    const network = build(className as MaskedClass, new Params(), config as never) as (
      ...given: Tensor[]
    ) => Tensor | { logits: Tensor }
    const made = isTold(className) ? network(tokens, input('sigma', [B])) : network(tokens)
    const logits = 'logits' in made ? made.logits : made
    return compile({ outputs: { logits }, weights }, { ...options, ...(quantize && { quantization: { kind: quantize } }) })
  }, 1)
  const takes = (config as Partial<MdlmConfig>).time_conditioning === true
  return {
    logits: (tokens, sigma = 0) =>
      turn(async () => {
        const program = await programs.get(JSON.stringify(tokens.shape))
        const level: Record<string, NdArray> = takes ? { sigma: NdArray.full([tokens.shape[0] as number], sigma) } : {}
        return (await program.run({ tokens, ...level })).logits as NdArray<'f32'>
      }),
    release: () => turn(() => programs.release()),
  }
}

const isTold = (className: ClassName) => className === 'MDLM' || className === 'SEDD'

/** A text that grows block by block. Keys and values of finished blocks are kept, so that a call costs one block's work. */
export interface GrowingText extends Releasable {
  /** The block after the finished ones, i64 [1, L] → logits f32 [1, L, V]. */
  logits(block: NdArray<'i64'>): Promise<NdArray<'f32'>>
  /** Takes the block among the finished ones; its logits. */
  finish(block: NdArray<'i64'>): Promise<NdArray<'f32'>>
}

/**
 * A BD3-LM at work on a text of at most `model_length` tokens (Arriola et al. 2025, section 4.2), or its causal twin, whose blocks are read
 * from left to right: one program serves every block, its places and the blocks before given as inputs.
 */
export function growingText({ className, config, weights }: Stored<'BD3LM' | 'AR'>, options: CompileOptions): GrowingText {
  const { model_length: most, hidden_dim: width, n_heads: heads, n_blocks: layers } = config
  const past = range(layers).map(() => ({ k: new Float32Array(most * width), v: new Float32Array(most * width) }))
  let finished = 0
  const turn = turns()
  const programs = new Programs((L: number) => {
    const half = width / heads / 2
    const tokens = input('tokens', [1, L], 'i64')
    const rotation = { cos: input('cos', [L, half]), sin: input('sin', [L, half]) }
    const before: KeysAndValues[] = range(layers).map((i) => ({
      k: input(`k${i}`, [1, most, width]),
      v: input(`v${i}`, [1, most, width]),
    }))
    const mask = input('mask', [1, 1, L, most + L])
    const { logits, own } = build(className, new Params(), config)(tokens, undefined, { rotation, mask, past: before })
    const kept = own.flatMap(({ k, v }, i) => [
      [`own k${i}`, k],
      [`own v${i}`, v],
    ])
    return compile({ outputs: { logits, ...Object.fromEntries(kept) }, weights }, options)
  }, 1)
  const run = async (block: NdArray<'i64'>) => {
    const [, L] = block.shape as [number, number]
    if (finished + L > most) throw new ArgumentError(`a text of more than ${most} tokens, which the model has seen at most`)
    const { cos, sin } = tokenRotation(
      range(L).map((i) => finished + i),
      width / heads,
    )
    const seen = (query: number, key: number) => (key < most ? key < finished : !config.causal || key - most <= query)
    const hidden = Float32Array.from(range(L * (most + L)), (i) => (seen(Math.floor(i / (most + L)), i % (most + L)) ? 0 : -1e9))
    const mask = new NdArray(hidden, [1, 1, L, most + L], 'f32')
    const before = past.flatMap(({ k, v }, i) => [
      [`k${i}`, new NdArray(k, [1, most, width], 'f32')],
      [`v${i}`, new NdArray(v, [1, most, width], 'f32')],
    ])
    return (await programs.get(L)).run({ tokens: block, cos, sin, mask, ...Object.fromEntries(before) })
  }
  return {
    logits: (block) => turn(async () => (await run(block)).logits as NdArray<'f32'>),
    finish: (block) =>
      turn(async () => {
        const made = await run(block)
        for (const [i, { k, v }] of past.entries()) {
          k.set((made[`own k${i}`] as NdArray<'f32'>).data, finished * width)
          v.set((made[`own v${i}`] as NdArray<'f32'>).data, finished * width)
        }
        finished += block.shape[1] as number
        return made.logits as NdArray<'f32'>
      }),
    release: () => turn(() => programs.release()),
  }
}
