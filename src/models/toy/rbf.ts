import { dims } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { fill, normal, type Params } from '../../nn/params.ts'
import { type TimeReadout, timeReadout } from './readout.ts'

export interface RbfSizes {
  readonly size: number
  readonly hidden: number
  readonly outputs: number
  readonly times: number
}

/**
 * A normalised radial basis function network with a readout for every time: x [T, B, size], time [T] → [T, B, outputs].
 * Features are exp(−‖x − c‖²/2s²), divided by their sum (Sohl-Dickstein et al. 2015, appendix D.1.1).
 */
export function rbfNetwork(p: Params, { size, hidden, outputs, times }: RbfSizes): TimeReadout {
  const centres = p.get('centres', [hidden, size], normal(1))
  const logPrecision = p.get('log_precision', [hidden], fill(2 * Math.LN2))
  const readout = timeReadout(p.at('readout'), { times, inputs: hidden, outputs })
  return (x, time) => {
    dims(x, 'T B D', { D: size })
    return readout(features(x, centres, logPrecision), time)
  }
}

function features(x: Tensor, centres: Tensor, logPrecision: Tensor): Tensor {
  const squares = x.unsqueeze(2).sub(centres).square().sum(3)
  return squares.mul(logPrecision.exp()).div(-2).softmax()
}
