import { dims } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import type { Params } from '../../nn/params.ts'
import { zerosInit } from '../../nn/params.ts'

export interface TimeReadoutSizes {
  /** Times that have a readout of their own; between two of them it is interpolated. */
  readonly times: number
  readonly inputs: number
  readonly outputs: number
}

/** h [T, B, inputs] and time [T] in 0 … times − 1 → [T, B, outputs]. */
export type TimeReadout = (h: Tensor, time: Tensor) => Tensor

/** A top layer for every time over features that all times share (Sohl-Dickstein et al. 2015, appendix D.1). Zero at first. */
export function timeReadout(p: Params, { times, inputs, outputs }: TimeReadoutSizes): TimeReadout {
  const weight = p.get('weight', [times, inputs, outputs], zerosInit)
  const bias = p.get('bias', [times, 1, outputs], zerosInit)
  return (h, time) => {
    const { T } = dims(h, 'T B D', { D: inputs })
    dims(time, 'T', { T })
    const before = time.floor().minimum(times - 1)
    const share = time.sub(before).reshape([T, 1, 1])
    const after = before.add(1).minimum(times - 1)
    const at = (table: Tensor) => {
      const [low, high] = [before, after].map((index) => table.gather(index.cast('i64'), 0)) as [Tensor, Tensor]
      return low.add(high.sub(low).mul(share))
    }
    return h.matmul(at(weight)).add(at(bias))
  }
}
