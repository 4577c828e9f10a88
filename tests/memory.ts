import type { Tensor } from '../src/core/tensor.ts'
import { conv, linear } from '../src/nn/layers.ts'
import { Params } from '../src/nn/params.ts'

/** What `memory-program.ts` says; all but the first and `sum` in bytes. */
export interface Found {
  /** Weights that were packed. */
  readonly packed: number
  /** By how much the peak of resident memory rose from opening the weights to the end of the first run. */
  readonly rise: number
  readonly sum: number
  /** Of packed weights in files: what is mapped, and what of it is this process's own. */
  readonly mapped: number
  readonly own: number
  /** By how much its memory that lies in no file has grown by then. */
  readonly anonymous: number
}

export const shape = [1, 512, 16, 16] as const

/** A large network as the middle of a U-Net is made: 24 convolutions of 512 channels, 6 linear layers of 2048. */
export function network(p = new Params()): (x: Tensor) => Tensor {
  const convs = Array.from({ length: 24 }, (_, i) => conv(p.at('convs', i), 512, 512, 3, { padding: 1 }))
  const linears = Array.from({ length: 6 }, (_, i) => linear(p.at('linears', i), 2048, 2048))
  return (x) => {
    const features = convs.reduce((x, layer) => layer(x).silu(), x)
    return linears.reduce((x, layer) => layer(x).silu(), features.reshape([64, 2048]))
  }
}
