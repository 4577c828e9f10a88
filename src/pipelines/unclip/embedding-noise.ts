import { readTensor } from '../../checkpoints/index.ts'
import { ArgumentError } from '../../core/errors.ts'
import { alphasCumprod, betaSchedule, type SchedulerConfig, schedulerFromConfig } from '../../diffusion/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { Generator } from '../../runtime/random.ts'
import type { OpenedNetwork } from '../open/network.ts'

/** A picture's embedding as Stable unCLIP's network takes it: noised to a level, and the level told. */
export interface EmbeddingNoise {
  /** embeds [1, D] → [1, 2·D]; one draw of [1, D], even at level 0. */
  noised(embeds: NdArray<'f32'>, level: number, generator: Generator): NdArray<'f32'>
  /** @throws ArgumentError for a level that there is not */
  check(level: number): void
}

/** The noise is added to embeddings of mean 0 and deviation 1 over the data (Ramesh et al. 2022; Stability AI's unCLIP of 2.1). */
export function embeddingNoise(
  { weights, config, place }: OpenedNetwork<'StableUnCLIPImageNormalizer'>,
  scheduler: SchedulerConfig,
): EmbeddingNoise {
  const [mean, std] = ['mean', 'std'].map((key) => readTensor(weights.get(key) as never).cast('f32')) as [NdArray, NdArray]
  const {
    num_train_timesteps: steps,
    beta_start: start,
    beta_end: end,
    beta_schedule: name,
  } = schedulerFromConfig(scheduler).options
  const bars = alphasCumprod(betaSchedule(name as never, { steps, start, end } as never))
  return {
    check(level) {
      if (level < bars.length) return
      throw new ArgumentError(
        `noiseLevel: ${level} is none of the levels 0 … ${bars.length - 1} at which ${place} noises embeddings`,
      )
    },
    noised(embeds, level, generator) {
      const bar = bars[level] as number
      const noise = generator.randn(embeds.shape)
      const clean = embeds.sub(mean).div(std)
      const noisy = clean
        .mul(Math.sqrt(bar))
        .add(noise.mul(Math.sqrt(1 - bar)))
        .mul(std)
        .add(mean)
      return NdArray.concat([noisy.cast('f32'), levelAngles(level, config.embedding_dim)], 1)
    },
  }
}

/** A level as cosines, then sines, of falling frequencies: f32 [1, width]. */
function levelAngles(level: number, width: number): NdArray<'f32'> {
  const half = Math.floor(width / 2)
  const angles = Array.from({ length: half }, (_, i) =>
    Math.fround(level * Math.fround(Math.exp(Math.fround(Math.fround(-Math.log(10000)) * i) / half))),
  )
  const values = [...angles.map(Math.cos), ...angles.map(Math.sin), ...(width % 2 === 1 ? [0] : [])]
  return NdArray.from(values, [1, width])
}
