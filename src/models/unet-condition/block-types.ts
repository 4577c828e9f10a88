import type { Shape } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import type { Dropout } from '../../nn/dropout.ts'
import type { Level, UNet2DConditionConfig } from './config.ts'
import type { Given } from './embeddings.ts'

/** What the blocks of one network share. */
export interface Common {
  readonly config: UNet2DConditionConfig
  readonly timeWidth: number
  readonly dropout?: Dropout | undefined
}

/** A layer that also sees the time and the context. */
export type Conditioned = (x: Tensor, given: Given) => Tensor

/** → the features, and the skips that the block leaves. `inside` is added to what its last layer makes (T2I-Adapter). */
export type DownBlock = (x: Tensor, given: Given, inside?: Tensor) => { readonly x: Tensor; readonly skips: readonly Tensor[] }

export interface UpBlock {
  /** How many skips the block takes. */
  readonly takes: number
  /** The skips come in the order in which they were made; `size` is the picture's size after the block, where it grows. */
  readonly apply: (x: Tensor, skips: readonly Tensor[], given: Given, size: Shape | undefined) => Tensor
}

/** A block's place: `last` is the one that keeps the resolution. */
export interface Place {
  readonly inputs: number
  readonly level: Level
  readonly last: boolean
}
