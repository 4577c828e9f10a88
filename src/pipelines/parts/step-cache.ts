import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import { topologicalOrder } from '../../core/grad.ts'
import { concat } from '../../core/ops/move.ts'
import { substitute } from '../../core/substitute.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { parseOptions } from '../options.ts'

/** What a step may take over from an earlier one. */
const stepCacheSchema = z.discriminatedUnion('kind', [
  /** The deep features are made at every `interval`-th step only (DeepCache: Ma et al. 2023, section 3.2). */
  z.object({ kind: z.literal('deep'), interval: z.int().min(1) }),
  /**
   * The deep features are kept while what the first block adds has changed, relative to when they were made, by less than the
   * threshold (mean of absolute values), as in ParaAttention's first-block cache.
   */
  z.object({ kind: z.literal('first-block'), threshold: z.number().min(0) }),
])
export type StepCache = z.infer<typeof stepCacheSchema>

/** @throws ArgumentError for numbers that mean nothing */
export const checkCache = (cache: StepCache) => parseOptions('load', z.object({ cache: stepCacheSchema }), { cache })

export type Outputs = Readonly<Record<string, NdArray>>
type Graph = Readonly<Record<string, Tensor>>

/**
 * A U-Net's output, cut below the layers that stay shallow: the first layer of the way down and the last two of the way up,
 * with the skips between them. `full` gives the deep features too; `shallow` takes them as the input `deep`.
 */
export function cutDeep(output: Tensor): { full: Graph; shallow: Graph } {
  const joins = topologicalOrder([output]).filter(({ op, attrs, rank }) => op === concat && attrs.axis === 1 && rank === 4)
  const [below, last] = joins.slice(-2)
  if (!below || !last) throw new ArgumentError('step cache: this U-Net has no two layers on its way up')
  const [deep, skip] = below.inputs as [Tensor, Tensor]
  const first = skip.sub(last.inputs[1] as Tensor)
  const taken = substitute([output], new Map([[deep, input('deep', deep.shape)]]))
  return { full: { output, deep, first }, shallow: { output: taken[0] as Tensor, first } }
}

/** Decides at each step which part of the network runs. */
export class CachedSteps {
  private readonly cache: StepCache
  private kept: { readonly deep: NdArray; readonly first: NdArray } | undefined

  constructor(cache: StepCache) {
    this.cache = cache
  }

  /** @param call the step, from 0 at each picture, where everything is made anew */
  async step(call: number, full: () => Promise<Outputs>, shallow: (deep: NdArray) => Promise<Outputs>): Promise<NdArray> {
    const { cache, kept } = this
    if (kept && call > 0) {
      if (cache.kind === 'first-block' || call % cache.interval !== 0) {
        const { output, first } = (await shallow(kept.deep)) as { output: NdArray; first: NdArray }
        if (cache.kind === 'deep' || changeOf(first, kept.first) < cache.threshold) return output
      }
    }
    const { output, deep, first } = (await full()) as { output: NdArray; deep: NdArray; first: NdArray }
    this.kept = { deep, first }
    return output
  }
}

/** Mean |a − b| over mean |b|. */
const changeOf = (a: NdArray, b: NdArray): number => a.sub(b).abs().mean().item() / b.abs().mean().item()
