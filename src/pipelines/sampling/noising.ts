import { ArgumentError } from '../../core/errors.ts'
import { alphasCumprod, betaSchedule, type SchedulerConfig, schedulerFromConfig } from '../../diffusion/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { Generator } from '../../runtime/random.ts'

/**
 * What noises the picture that an enlarging network sees, as a scheduler's config of a folder says it, to a level from 0 on: √ᾱ x + √(1 − ᾱ) ε,
 * one draw of the picture's shape (Ho et al. 2022b, section 4).
 *
 * @throws ArgumentError for a level that the config does not have
 */
export function noiserOf(config: SchedulerConfig, level: number): (x: NdArray<'f32'>, generator: Generator) => NdArray<'f32'> {
  const options = schedulerFromConfig(config).options as Record<string, never>
  const { num_train_timesteps: steps, beta_start: start, beta_end: end, trained_betas: trained } = options
  const bars = alphasCumprod(
    trained ? Float32Array.from(trained) : betaSchedule(options.beta_schedule as never, { steps, start, end }),
  )
  const bar = bars[level]
  if (bar === undefined)
    throw new ArgumentError(
      `noiseLevel: ${level} is none of the levels 0 … ${bars.length - 1} at which this model noises its picture`,
    )
  return (x, generator) => x.mul(Math.sqrt(bar)).add(generator.randn(x.shape).mul(Math.sqrt(1 - bar)))
}
