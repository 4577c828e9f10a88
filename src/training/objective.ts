import type { Tensor } from '../core/tensor.ts'
import type { Params } from '../nn/params.ts'
import type { DeviceName } from '../runtime/engine.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import type { Optimizer, Scalars } from './optimizer.ts'

/** What is minimised: one element, traced from the parameters and from inputs that `feeds` fill. */
export interface Objective {
  readonly params: Params
  readonly loss: Tensor
  /** Further numbers to report, one element each. */
  readonly metrics?: Readonly<Record<string, Tensor>>
}

export interface StepOptions {
  readonly optimizer: Optimizer
  /** Gradients longer than this are scaled down to it. */
  readonly maxGradNorm?: number
  /** Times that gradients are added up before one step. */
  readonly accumulation?: number
  /** Batches that run side by side each time, each on its share of the cores: data parallel. On a GPU one after another. */
  readonly processes?: number
  /** Keeps an exponential moving average of the parameters. */
  readonly ema?: boolean
  readonly device?: DeviceName
  readonly threads?: number
}

/** Programs that take optimizer steps, and the values that they update. */
export interface StepPrograms {
  /** Whether the values are those of a whole step: false after an error between the first value's update and the last one's. */
  intact(): boolean
  /** One step, with the numbers that `scalarInputs` names: the outputs reported of each batch, `gradNorm` in the last. */
  run(batches: readonly Feeds[], scalars: Scalars): Promise<readonly Record<string, NdArray>[]>
  /** Values by name, all of them unless some are named. They may change with the next step: copy what must not. */
  read(names?: readonly string[]): Promise<Map<string, NdArray>>
  release(): Promise<void>
}
export type Feeds = Readonly<Record<string, NdArray>>
