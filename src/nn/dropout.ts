import { where } from '../core/functions.ts'
import type { Shape } from '../core/shape.ts'
import { input, type Tensor, zeros } from '../core/tensor.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { Generator } from '../runtime/random.ts'

/** Sets a share of elements to zero. Networks take one as an option; without it they keep everything, as sampling wants. */
export type Dropout = (x: Tensor, rate: number) => Tensor

/** Nothing is dropped. */
export const keepAll: Dropout = (x) => x

/**
 * Dropout for training (Srivastava et al. 2014). Each use becomes a bool input of the graph, `dropout.0`, `dropout.1`, …,
 * so the randomness is the caller's: `draw` gives the feeds of one step.
 */
export class DropoutMasks {
  private readonly masks: { readonly name: string; readonly shape: Shape; readonly rate: number }[] = []

  /** What a network takes as its `dropout`. */
  readonly dropout: Dropout = (x, rate) => {
    if (rate === 0) return x
    const name = `dropout.${this.masks.length}`
    this.masks.push({ name, shape: x.shape, rate })
    return where(input(name, x.shape, 'bool'), x.mul(1 / (1 - rate)), zeros(x.shape, x.dtype))
  }

  /** Masks for one run, by input name: true, with probability 1 − rate, where an element stays. */
  draw(generator: Generator): Record<string, NdArray> {
    return Object.fromEntries(
      this.masks.map(({ name, shape, rate }) => {
        const uniform = generator.rand(shape).data
        return [
          name,
          new NdArray(
            Uint8Array.from(uniform, (u) => (u < rate ? 0 : 1)),
            shape,
            'bool',
          ),
        ]
      }),
    )
  }
}
