import type { Level, ModelCall } from '../../diffusion/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type Combine, guidedBy } from '../sampling/guidance.ts'

/** σ of the state x0 + σε that a level stands for. */
const ratio = ({ alpha, sigma }: Level): number => sigma / alpha

/** What the network is told for a level: ln(σ)/4 (Karras et al. 2022, table 1). */
export const networkTime = (level: Level): number => Math.log(ratio(level)) * 0.25

/**
 * The clean data from the network's output of `channels` and a variance that nothing reads: x/(σ² + 1) + σ/√(σ² + 1) · F (Karras et al.
 * 2022, table 1, of data with unit variance), then guided.
 */
export function denoisedBy(guidance: number, channels: number): Combine {
  const guided = guidedBy(guidance)
  return (output, t, at) => {
    const { x, level, scale } = at as ModelCall
    const sigma = ratio(level)
    const skip = x.mul(1 / (sigma * sigma + 1))
    const out = scale(NdArray.from([sigma], [1])).item()
    const entries = output.shape[0] as number
    const each = NdArray.concat(Array.from({ length: entries }, () => skip))
    return guided(output.slice(1, 0, channels).mul(out).add(each), t)
  }
}
