import { constant, type Tensor } from '../core/tensor.ts'
import { type Init, normal, type Params } from './params.ts'

export interface RelativeBucketOptions {
  readonly buckets?: number
  readonly maxDistance?: number
  /** Keys after a query have buckets of their own, as in an encoder; else they share bucket 0. */
  readonly bidirectional?: boolean
}

/**
 * The bucket of a key's distance from a query (Raffel et al. 2020, section 2.1): near ones have a bucket each, others share
 * logarithmic ones up to the greatest distance. Logarithms are rounded as PyTorch rounds them in float32.
 */
export function relativeBucket(distance: number, options: RelativeBucketOptions = {}): number {
  const { buckets = 32, maxDistance = 128, bidirectional = true } = options
  const half = bidirectional ? buckets / 2 : buckets
  const side = bidirectional && distance > 0 ? half : 0
  const steps = bidirectional ? Math.abs(distance) : Math.max(0, -distance)
  const exact = Math.floor(half / 2)
  if (steps < exact) return side + steps
  const logarithm = Math.fround(Math.log(Math.fround(steps / exact)))
  const share = Math.fround(logarithm / Math.fround(Math.log(maxDistance / exact)))
  return side + Math.min(half - 1, exact + Math.floor(Math.fround(share * (half - exact))))
}

/** T5's bias of attention scores by distance: `tokens` queries and keys → [1, heads, N, M]; the key is `weight` [buckets, heads]. */
export function relativeBias(p: Params, heads: number, options: RelativeBucketOptions & { readonly init?: Init } = {}) {
  const table = p.get('weight', [options.buckets ?? 32, heads], options.init ?? normal(1))
  return (queries: number, keys = queries): Tensor => {
    const index = Int32Array.from({ length: queries * keys }, (_, i) =>
      relativeBucket((i % keys) - Math.floor(i / keys), options),
    )
    return table
      .gather(constant(index, [queries, keys]), 0)
      .transpose(2, 0, 1)
      .unsqueeze(0)
  }
}
