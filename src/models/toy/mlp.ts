import { dims } from '../../core/shape.ts'
import { normal, type Params, zerosInit } from '../../nn/params.ts'
import { type TimeReadout, timeReadout } from './readout.ts'

export interface MlpSizes {
  readonly size: number
  readonly widths: readonly number[]
  readonly outputs: number
  readonly times: number
}

/**
 * Layers of sigmoids with a readout for every time: x [T, B, size] of 0 and 1, time [T] → [T, B, outputs]
 * (Sohl-Dickstein et al. 2015, appendix D.1.2).
 */
export function sigmoidMlp(p: Params, { size, widths, outputs, times }: MlpSizes): TimeReadout {
  const layers = widths.map((width, i) => {
    const inputs = widths[i - 1] ?? size
    const at = p.at('layers', i)
    // Sigmoids give values around ½; weights this large keep the differences between them alive through three layers.
    const weight = at.get('weight', [inputs, width], normal(4 / Math.sqrt(inputs)))
    return { weight, bias: at.get('bias', [width], zerosInit) }
  })
  const readout = timeReadout(p.at('readout'), { times, inputs: widths.at(-1) ?? size, outputs })
  return (x, time) => {
    const { T, B } = dims(x, 'T B D', { D: size })
    const rows = layers.reduce((h, { weight, bias }) => h.sub(0.5).matmul(weight).add(bias).sigmoid(), x.reshape([-1, size]))
    return readout(rows.reshape([T, B, -1]), time)
  }
}
