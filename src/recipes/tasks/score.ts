import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import { sampleBatch } from '../../data/index.ts'
import { type SchedulerConfig, type Sde, vpSde } from '../../diffusion/index.ts'
import { unet2d } from '../../models/unet/index.ts'
import { Params } from '../../nn/params.ts'
import { saveDdpm } from '../../pipelines/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { dataSchema, trainingData } from '../data.ts'
import type { RecipeType } from '../recipe.ts'
import { previewDdpm } from './preview.ts'
import { networkFields, startingNetwork } from './start.ts'

/** A variance-preserving score SDE: its pictures, network, drift and weighting. Fields of the network are diffusers'. */
export const scoreSchema = z.object({
  data: dataSchema,
  resolution: z.int().positive().default(32),
  ...networkFields,
  sde: z
    .strictObject({
      /** β(0) and β(1) of dx = −½β(t)x dt + √β(t) dw. */
      beta_min: z.number().positive().default(0.1),
      beta_max: z.number().positive().default(20),
      /** The least time that is trained. */
      sampling_eps: z.number().positive().default(1e-3),
    })
    .prefault({}),
  /** λ(t) of the loss: σ² (`simple`), or g² (`likelihood`), whose loss bounds −ln p (Song et al. 2021b). */
  weighting: z.enum(['simple', 'likelihood']).default('simple'),
  /**
   * What the network gives, from which the score follows: the noise ε, or v = αε − σx₀ (Salimans and Ho 2022), with whose loss
   * `simple` is σ²/α² and levels of much noise, which decide the colours, count too.
   */
  prediction_type: z.enum(['epsilon', 'v_prediction']).default('epsilon'),
})
export type ScoreConfig = z.infer<typeof scoreSchema>
type VpConfig = ScoreConfig['sde']

/** What the network is told of the time t from 0 to 1 is 999·t (Song et al. 2021, the VP models). */
const TIMES = 999

const betaIntegral = (t: number, { beta_min: low, beta_max: high }: VpConfig) => low * t + ((high - low) * t * t) / 2

/** The time at which ∫₀ᵗ β has a given value. */
const timeOf = (integral: number, { beta_min: low, beta_max: high }: VpConfig): number =>
  (2 * integral) / (low + Math.sqrt(low * low + 2 * (high - low) * integral))

/**
 * Times for uniform draws in [0, 1). `simple` spreads them evenly. `likelihood` draws them by g²/σ², which then stands in the
 * place of that weight (Song et al. 2021b, section 5); as g²/σ² is d ln(σ²/α²)/dt, their log signal-to-noise ratios are even.
 */
export function scoreTimes(uniform: readonly number[], { sde, weighting }: Pick<ScoreConfig, 'sde' | 'weighting'>): number[] {
  const eps = sde.sampling_eps
  if (weighting === 'simple') return uniform.map((u) => eps + u * (1 - eps))
  const [from, to] = [eps, 1].map((t) => Math.log(Math.expm1(betaIntegral(t, sde)))) as [number, number]
  return uniform.map((u) => timeOf(Math.log1p(Math.exp(from + u * (to - from))), sde))
}

/**
 * Denoising score matching as a mean over elements: of the noise, with s_θ = −output/σ, it is ‖σs_θ + ε‖² (Song et al. 2021,
 * eq. 7); of v, with −σs_θ = α·output + σx, the same over α².
 */
export const scoreMatching = (output: Tensor, target: Tensor): Tensor => output.sub(target).square().mean()

/** A score SDE on pictures of one size. */
export const scoreType: RecipeType<typeof scoreSchema> = {
  name: 'score',
  summary: 'a score SDE of pictures, in continuous time',
  schema: scoreSchema,
  training: {},
  async job({ data, resolution, unet, pretrained, sde: vp, weighting, prediction_type: prediction }, context) {
    const { batchSize, seed } = context
    if (weighting === 'likelihood' && prediction !== 'epsilon')
      throw new ArgumentError(`score: the weighting likelihood is of the noise; prediction_type is ${prediction}`)
    const { config: network, start } = startingNetwork({ unet, pretrained }, resolution, 'score')
    const dataset = await trainingData(data, { ...context, size: resolution, seed, channels: network.in_channels })
    const scheduler = schedulerOf(vp, prediction)
    const sde: Sde = vpSde({ min: vp.beta_min, max: vp.beta_max })

    const params = new Params()
    const shape = [batchSize, network.in_channels, resolution, resolution]
    const [x, t, target] = [input('x', shape), input('t', [batchSize]), input('target', shape)]
    const loss = scoreMatching(unet2d(params, network)(x, t), target)

    return {
      task: {
        params,
        loss,
        ...start(params),
        ...(dataset.fingerprint && { data: dataset.fingerprint }),
        async batch(generator) {
          const { images } = await sampleBatch(dataset, generator, batchSize)
          const times = scoreTimes(Array.from(generator.rand([batchSize]).data), { sde: vp, weighting })
          const noise = generator.randn(shape)
          const column = (f: (t: number) => number) => NdArray.from(times.map(f), [batchSize, 1, 1, 1])
          const [alpha, sigma] = [column((t) => sde.path.alpha(sde.sigma(t))), column(sde.sigma)]
          return {
            x: images.mul(alpha).add(noise.mul(sigma)),
            t: NdArray.from(times.map((t) => TIMES * t)),
            target: prediction === 'epsilon' ? noise : noise.mul(alpha).sub(images.mul(sigma)),
          }
        },
      },
      preview: (weights) => previewDdpm({ config: network, scheduler, weights }, context.preview),
      save: (weights, dir) => saveDdpm(dir, { config: network, scheduler, weights }),
    }
  },
}

/** The SDE at 1,000 even times is Ho et al.'s chain (Song et al. 2021, appendix B). */
const schedulerOf = ({ beta_min, beta_max }: VpConfig, prediction: ScoreConfig['prediction_type']): SchedulerConfig => ({
  _class_name: 'DDPMScheduler',
  num_train_timesteps: TIMES + 1,
  beta_schedule: 'linear',
  beta_start: beta_min / (TIMES + 1),
  beta_end: beta_max / (TIMES + 1),
  prediction_type: prediction,
  clip_sample: true,
  variance_type: 'fixed_large',
  timestep_spacing: 'trailing',
})
