import { flowPair, flowWeight, shiftSigma, timeAt } from '../../../diffusion/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import type { Generator } from '../../../runtime/random.ts'
import { positionsFrom } from '../../positions.ts'
import { stageAt } from '../text-to-image/fields.ts'
import type { RectifiedFlow } from './schema.ts'

/** The ends of a density have no time. */
const EDGE = 1e-5

type Noising = Pick<RectifiedFlow, 'scheduler' | 'time_density' | 'weighting_scheme'>

/** What a recipe says of noise: how latents get it, how much their errors weigh, and where times are drawn. Times are timesteps, as the network takes them. */
export function noising({ scheduler, time_density: stages, weighting_scheme: weighting }: Noising) {
  const { num_train_timesteps: steps, shift } = scheduler
  return {
    /** The feeds `x`, `t` and `target` of clean latents. */
    noised(clean: NdArray, noise: NdArray, times: readonly number[]) {
      const t = NdArray.from(times)
      return { ...flowPair(clean, noise, t.mul(1 / steps)), t }
    },
    weightAt: (time: number) => flowWeight(weighting, time / steps),
    /** Timesteps of a batch of the run's step `step`, together evenly spread over the density. */
    drawTimes(generator: Generator, count: number, step: number): number[] {
      const density = stageAt(stages, step) ?? (stages[0] as RectifiedFlow['time_density'][number])
      const start = generator.rand([1]).item()
      const shares = positionsFrom(0, count).map((i) => Math.min(Math.max((start + i / count) % 1, EDGE), 1 - EDGE))
      return shares.map((u) => steps * shiftSigma(timeAt(density, u), shift))
    },
  }
}
