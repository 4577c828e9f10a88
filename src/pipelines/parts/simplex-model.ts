import { ArgumentError } from '../../core/errors.ts'
import { grad } from '../../core/grad.ts'
import { range } from '../../core/shape.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import { labelsOfClassifier, mostTokens, type RobertaConfig, robertaClassifier, ssdLm } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import type { Weights } from '../../runtime/weights.ts'
import type { Releasable } from '../page.ts'
import { turns } from './turns.ts'

interface Stored {
  readonly config: RobertaConfig
  readonly weights: Weights
}

/** An SSD-LM at work on one text. */
export interface WorkingSimplexModel extends Releasable {
  /** The tokens before, the block's noisy logits [1, N, V] and the share of time left → the block's logits. Of too many tokens the last count. */
  logits(before: readonly number[], x: NdArray<'f32'>, t: number): Promise<NdArray<'f32'>>
}

/** Tokens before a block are filled up to a multiple of so many, so that a text needs few programs. */
const ROUND = 64

/** One program for a size of block and of what comes before; the last used is kept. */
export function simplexModel({ config, weights }: Stored, options: CompileOptions): WorkingSimplexModel {
  const { vocab_size: V, pad_token_id: pad } = config
  const most = mostTokens(config)
  const turn = turns()
  const programs = new Programs((key: string) => {
    const [M, N] = JSON.parse(key) as [number, number]
    const given = { context: input('context', [1, M], 'i64'), x: input('x', [1, N, V]), t: input('t', [1]) }
    const places = { positions: input('positions', [M + N], 'i64'), mask: input('mask', [1, 1, M + N, M + N]) }
    return compile({ outputs: { logits: ssdLm(new Params(), config)(given, places) }, weights }, options)
  }, 1)
  return {
    logits: (before, x, t) =>
      turn(async () => {
        const N = x.shape[1] as number
        if (N >= most) throw new ArgumentError(`block: ${N} tokens; the model has seen ${most} at most with what comes before`)
        const seen = before.slice(-(most - N))
        const M = Math.min(most - N, Math.ceil(seen.length / ROUND) * ROUND)
        const { context, positions, mask } = simplexPlaces(seen, { M, N, pad })
        const program = await programs.get(JSON.stringify([M, N]))
        return (await program.run({ context, positions, mask, x, t: NdArray.from([t]) })).logits as NdArray<'f32'>
      }),
    release: () => turn(() => programs.release()),
  }
}

/** M places for the tokens before a block of N, which stand at their end; what is left over before them nothing sees. */
export function simplexPlaces(
  seen: readonly number[],
  { M, N, pad }: { readonly M: number; readonly N: number; readonly pad: number },
) {
  const empty = M - seen.length
  const L = M + N
  const integers = (values: readonly number[], shape: readonly number[]) =>
    new NdArray(BigInt64Array.from(values, BigInt), shape, 'i64')
  const row = range(L).map((key) => (key < empty ? -1e9 : 0))
  return {
    context: integers([...Array<number>(empty).fill(pad), ...seen], [1, M]),
    positions: integers(
      range(L).map((at) => Math.max(0, at - empty)),
      [L],
    ),
    mask: new NdArray(Float32Array.from(range(L).flatMap(() => row)), [1, 1, L, L], 'f32'),
  }
}

/** A classifier that moves logits towards one of its labels. */
export interface LogitGuide extends Releasable {
  /** logits [1, N, V] + weight · ∇ ln p(label | the text that they say). */
  move(logits: NdArray<'f32'>, label: string, weight: number): Promise<NdArray<'f32'>>
  readonly labels: readonly string[]
}

/** Modular control (Han et al. 2023, section 3.4): a classifier of the same vocabulary, which reads shares of tokens as their mixed vectors. */
export function logitGuide({ config, weights }: Stored, options: CompileOptions): LogitGuide {
  const labels = labelsOfClassifier(config)
  const turn = turns()
  const programs = new Programs((N: number) => {
    const { vocab_size: V, hidden_size: D } = config
    const logits = input('logits', [1, N, V])
    const { table, classify } = robertaClassifier(new Params(), config)
    const vectors = logits.softmax(2).reshape([N, V]).matmul(table).reshape([1, N, D])
    const score = classify(vectors)
      .logSoftmax()
      .mul(input('label', [1, labels.length]))
      .sum()
    const [slope] = grad(score, [logits]) as [Tensor]
    return compile({ outputs: { moved: logits.add(slope.mul(input('weight', []))) }, weights }, options)
  }, 1)
  return {
    labels,
    move: (logits, label, weight) =>
      turn(async () => {
        const program = await programs.get(logits.shape[1] as number)
        const chosen = NdArray.from([labels.map((one) => Number(one === label))])
        return (await program.run({ logits, label: chosen, weight: NdArray.from(weight) })).moved as NdArray<'f32'>
      }),
    release: () => turn(() => programs.release()),
  }
}
