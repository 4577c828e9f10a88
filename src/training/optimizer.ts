import type { Tensor } from '../core/tensor.ts'
import { constant, full, scalar } from '../core/tensor.ts'

/** Numbers of one step, fed to the training program: `lr` and what the optimizer adds. */
export type Scalars = Readonly<Record<string, number>>

/**
 * A rule that moves a parameter, as symbolic arithmetic element by element: on the CPU of the operations that `lowerLoop`
 * knows. Its memory is one tensor a slot, of the parameter's shape, zero at first.
 */
export interface Optimizer<Slot extends string = string> {
  readonly slots: readonly Slot[]
  /** Names of the scalars that `scalars` gives. */
  readonly scalarNames: readonly string[]
  /** The scalars of step 1, 2, …, for a learning rate. */
  scalars(step: number, lr: number): Scalars
  update(
    p: Tensor,
    g: Tensor,
    slots: Readonly<Record<Slot, Tensor>>,
    scalars: Readonly<Record<string, Tensor>>,
  ): { p: Tensor } & Record<Slot, Tensor>
}

export interface AdamWOptions {
  readonly beta1?: number
  readonly beta2?: number
  readonly eps?: number
  readonly weightDecay?: number
}

/** AdamW (Loshchilov and Hutter 2019, Algorithm 2), in PyTorch's order of operations. Weight decay 0 makes it Adam. */
export function adamw({ beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0.01 }: AdamWOptions = {}): Optimizer<'m' | 'v'> {
  return {
    slots: ['m', 'v'],
    scalarNames: ['keep', 'stepSize', 'correction'],
    scalars: (step, lr) => ({
      keep: 1 - lr * weightDecay,
      stepSize: lr / (1 - beta1 ** step),
      correction: Math.sqrt(1 - beta2 ** step),
    }),
    update(p, g, slots, { keep, stepSize, correction }) {
      const m = slots.m.add(g.sub(slots.m).mul(1 - beta1))
      const v = slots.v.mul(beta2).add(g.square().mul(1 - beta2))
      const denominator = v
        .sqrt()
        .div(correction as Tensor)
        .add(eps)
      return { p: p.mul(keep as Tensor).sub(m.mul(stepSize as Tensor).div(denominator)), m, v }
    },
  }
}

/** √Σ‖g‖² over all gradients. */
export function globalNorm(gradients: readonly Tensor[]): Tensor {
  return gradients
    .map((g) => g.square().sum())
    .reduce((a, b) => a.add(b), scalar(0))
    .sqrt()
}

/** The factor that brings gradients of this norm down to `maxNorm` (Pascanu et al. 2013); 1 where they are below. */
export const clipFactor = (norm: Tensor, maxNorm: number): Tensor =>
  full([], maxNorm)
    .div(norm.add(1e-6))
    .minimum(constant([1], []))
