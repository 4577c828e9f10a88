import { type MdlmConfig, mdlm } from '../../../models/index.ts'
import { Params } from '../../../nn/params.ts'
import type { NdArray } from '../../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../../runtime/program.ts'
import { Generator } from '../../../runtime/random.ts'
import type { Weights } from '../../../runtime/weights.ts'
import { windowStarts, windowsAt } from './data.ts'
import type { TextObjective } from './objectives.ts'

export interface BitsOptions {
  readonly objective: TextObjective
  readonly config: MdlmConfig
  /** Texts one after another. */
  readonly row: Uint16Array
  /** Bytes of each token. */
  readonly bytes: Uint8Array
  /** Windows that are measured, at most. */
  readonly windows: number
  /** Windows a call. */
  readonly batch: number
  /** Draws of times and masks of each window. */
  readonly draws: number
}

/** What texts cost. */
export interface TextBits {
  readonly bitsPerByte: number
  /** Of the mean over windows: one standard error. */
  readonly error: number
  readonly bitsPerToken: number
  readonly windows: number
}

/** Bits a byte of texts in windows of the model's length, each alone: bounds from above where the model's loss is one. */
export async function textBits(
  weights: Weights,
  { objective, config, row, bytes, windows, batch: B, draws }: BitsOptions,
  engine: CompileOptions = {},
): Promise<TextBits> {
  const N = config.model_length
  const network = mdlm(new Params(), config)
  const program = await compile({ outputs: { nats: objective.nats(network, [B, N]) }, weights }, engine)
  const starts = windowStarts(row, N, windows)
  const sizes = starts.map((at) => row.subarray(at, at + N).reduce((sum, token) => sum + (bytes[token] as number), 0))
  const nats = new Float64Array(starts.length)
  const generator = new Generator(0)
  const times = objective.className === 'AR' ? 1 : draws
  for (let from = 0; from < starts.length; from += B) {
    // The last call is filled up with windows that are not counted.
    const own = Array.from({ length: B }, (_, i) => starts[Math.min(from + i, starts.length - 1)] as number)
    for (let draw = 0; draw < times; draw++) {
      const out = await program.run(objective.feeds(windowsAt(row, own, N), generator))
      for (const [i, value] of Array.from((out.nats as NdArray).data, Number).entries())
        if (from + i < nats.length) nats[from + i] = (nats[from + i] as number) + value / times
    }
  }
  await program.release()
  const total = nats.reduce((sum, value) => sum + value, 0)
  const size = sizes.reduce((sum, value) => sum + value, 0)
  const rate = total / size
  // Of a ratio of means: what each window has beyond its share.
  const beyond = nats.reduce((sum, value, i) => sum + (value - rate * (sizes[i] as number)) ** 2, 0)
  return {
    bitsPerByte: rate / Math.LN2,
    error: Math.sqrt(beyond) / size / Math.LN2,
    bitsPerToken: total / (starts.length * N) / Math.LN2,
    windows: starts.length,
  }
}

/** Bits a byte by how often each token comes in the training texts alone: what a model must beat that knows no order. */
export function unigramBits(train: Uint16Array, row: Uint16Array, bytes: Uint8Array): number {
  const counts = new Float64Array(bytes.length).fill(1)
  for (const token of train) counts[token] = (counts[token] as number) + 1
  const all = counts.reduce((sum, count) => sum + count, 0)
  let [bits, size] = [0, 0]
  for (const token of row) {
    bits -= Math.log2((counts[token] as number) / all)
    size += bytes[token] as number
  }
  return bits / size
}
