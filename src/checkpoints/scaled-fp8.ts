import type { Weights } from '../runtime/weights.ts'
import { readTensor } from './safetensors.ts'
import { lazyArray } from './stored-types.ts'

const scale = '.scale_weight'
/** Marks a file, or one of its networks, as scaled; and what its activations would be scaled by in fp8's own arithmetic. */
const marks = /(^|\.)scaled_fp8$|\.scale_input$/

/**
 * Weights that a file stores in fp8 over a factor of their own, as ComfyUI writes them (`….weight` with `….scale_weight`), as halves of
 * their true size, made when they are first read; all others as they are.
 */
export function rescaled(weights: Weights): Weights {
  if (![...weights.keys()].some((key) => key.endsWith(scale) || marks.test(key))) return weights
  const out = new Map<string, Weights extends ReadonlyMap<string, infer V> ? V : never>()
  for (const [key, value] of weights) {
    if (key.endsWith(scale) || marks.test(key)) continue
    const factor = key.endsWith('.weight') ? weights.get(key.slice(0, -'.weight'.length) + scale) : undefined
    if (factor === undefined) out.set(key, value)
    else
      out.set(
        key,
        lazyArray('f16', value.shape, () => {
          const by = Number(readTensor(factor).cast('f32').data[0])
          return readTensor(value).cast('f32').mul(by).cast('f16').data
        }),
      )
  }
  return out
}
