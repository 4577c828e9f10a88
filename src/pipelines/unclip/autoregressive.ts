import { input } from '../../core/tensor.ts'
import { type AutoregressivePriorConfig, autoregressivePrior, codesToEmbedding, type EmbeddingCodes } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import type { Generator } from '../../runtime/random.ts'
import type { Weights } from '../../runtime/weights.ts'
import type { Releasable } from '../page.ts'
import { turns } from '../parts/turns.ts'
import type { EncodedPrompt } from './texts.ts'

export interface AutoregressiveRun {
  readonly text: EncodedPrompt
  /** Bucket of the likeness that is asked for; one of the upper half by chance unless given (Ramesh et al. 2022, section 2.2). */
  readonly likeness?: number
  /** Less is nearer to the likeliest codes. */
  readonly temperature?: number
  readonly generator: Generator
  readonly signal?: AbortSignal | undefined
}

export interface AutoregressiveSampler extends Releasable {
  /** An embedding of a picture for a text: f32 [1, D]. */
  sample(run: AutoregressiveRun): Promise<NdArray<'f32'>>
}

/** Draws an embedding's codes one after another, and gives the embedding of their middles. */
export function autoregressiveSampler(
  {
    config,
    weights,
    codes,
  }: { readonly config: AutoregressivePriorConfig; readonly weights: Weights; readonly codes: EmbeddingCodes },
  options: CompileOptions,
): AutoregressiveSampler {
  const { components: K, buckets, likeness_buckets: levels, embedding_dim: D, num_embeddings: M } = config
  const turn = turns()
  const programs = new Programs((_: 'logits') => {
    const network = autoregressivePrior(new Params(), config)
    const conditions = {
      textEmbeds: input('textEmbeds', [1, D]),
      context: input('context', [1, M, D]),
      contextMask: input('contextMask', [1, M]),
      likeness: input('likeness', [1], 'i64'),
    }
    return compile({ outputs: { logits: network(input('codes', [1, K], 'i64'), conditions) }, weights }, options)
  }, 1)
  return {
    sample: ({ text, likeness, temperature = 1, generator, signal }) =>
      turn(async () => {
        const program = await programs.get('logits')
        const half = Math.floor(levels / 2)
        const asked =
          likeness ?? Math.min(levels - 1, half + Math.floor((generator.rand([1]).item() as number) * (levels - half)))
        const drawn = new BigInt64Array(K)
        for (let k = 0; k < K; k++) {
          signal?.throwIfAborted()
          const feeds = {
            codes: new NdArray(drawn, [1, K], 'i64'),
            likeness: new NdArray(BigInt64Array.of(BigInt(asked)), [1], 'i64'),
          }
          const { logits } = await program.run({ ...text, ...feeds })
          const row = (logits as NdArray<'f32'>).data.subarray(k * buckets, (k + 1) * buckets)
          drawn[k] = BigInt(draw(row, temperature, generator.rand([1]).item()))
        }
        return codesToEmbedding(new NdArray(drawn, [1, K], 'i64'), codes)
      }),
    release: () => turn(() => programs.release()),
  }
}

/** An index of softmax(logits / temperature) by a number of [0, 1). */
function draw(logits: Float32Array, temperature: number, u: number): number {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity)
  const weights = Array.from(logits, (x) => Math.exp((x - most) / temperature))
  let left = u * weights.reduce((a, b) => a + b, 0)
  for (const [i, weight] of weights.entries()) {
    left -= weight
    if (left < 0) return i
  }
  return weights.length - 1
}
