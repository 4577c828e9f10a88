import { betaSchedule, GaussianDiffusion, minSnrWeight } from '../../../diffusion/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import type { Generator } from '../../../runtime/random.ts'
import { positionsFrom } from '../../positions.ts'
import { stageAt } from './fields.ts'
import type { TextToImage } from './schema.ts'

type Levels = Pick<TextToImage, 'scheduler' | 'snr_gamma' | 'timestep_bias'>

/** What a recipe says of noise: how latents get it, how much their errors weigh, and how often each timestep is drawn. */
export function noising({ scheduler, snr_gamma: gamma, timestep_bias: biases }: Levels) {
  const { num_train_timesteps: steps, beta_schedule: schedule, beta_start: start, beta_end: end } = scheduler
  const prediction = scheduler.prediction_type
  const process = new GaussianDiffusion(betaSchedule(schedule, { steps, start, end }))
  return {
    /** The feeds `x`, `t` and `target` of clean latents. */
    noised: (clean: NdArray, noise: NdArray, times: readonly number[]) => ({
      x: process.addNoise(clean, noise, times),
      t: NdArray.from(times),
      target: process.target(prediction, clean, noise, times),
    }),
    weightAt: (time: number) => (gamma === null ? 1 : minSnrWeight(prediction, process.level(time), gamma)),
    /** Timesteps of a batch of the run's step `step`. */
    drawTimes: (generator: Generator, count: number, step: number) => spreadTimes(generator, steps, count, stageAt(biases, step)),
  }
}

export type Noising = ReturnType<typeof noising>

type TimestepBias = Omit<TextToImage['timestep_bias'][number], 'from'>

/**
 * Times of a batch, each from 0 … steps − 1, uniform but for the bias, together evenly spread: the loss varies less from batch to
 * batch (Kingma et al. 2021, variational diffusion models, the low-discrepancy sampler).
 */
export function spreadTimes(
  generator: Generator,
  steps: number,
  count: number,
  { begin, end, multiplier }: TimestepBias = { begin: 0, end: steps, multiplier: 1 },
): number[] {
  // The times stretched so that the range is as long as it is likely.
  const longer = (end - begin) * (multiplier - 1)
  const start = generator.rand([1]).item()
  return positionsFrom(0, count).map((i) => {
    const at = (steps + longer) * ((start + i / count) % 1)
    const within = (at - begin) / multiplier
    return Math.floor(at < begin ? at : within < end - begin ? begin + within : at - longer)
  })
}
