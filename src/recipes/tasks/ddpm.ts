import { z } from 'zod'
import { input } from '../../core/tensor.ts'
import { sampleBatch } from '../../data/index.ts'
import { betaSchedule, GaussianDiffusion, type SchedulerConfig } from '../../diffusion/index.ts'
import { unet2d } from '../../models/unet/index.ts'
import { Params } from '../../nn/params.ts'
import { saveDdpm } from '../../pipelines/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { dataSchema, trainingData } from '../data.ts'
import type { RecipeType } from '../recipe.ts'
import { previewDdpm } from './preview.ts'
import { networkFields, startingNetwork } from './start.ts'

/** An unconditional DDPM: its pictures, network and noise schedule. Fields of the network and the scheduler are diffusers'. */
export const ddpmSchema = z.object({
  data: dataSchema,
  resolution: z.int().positive().default(32),
  ...networkFields,
  scheduler: z
    .strictObject({
      num_train_timesteps: z.int().positive().default(1000),
      beta_schedule: z.enum(['linear', 'squaredcos_cap_v2']).default('squaredcos_cap_v2'),
      prediction_type: z.enum(['epsilon', 'v_prediction']).default('epsilon'),
    })
    .prefault({}),
})
type NoiseConfig = z.infer<typeof ddpmSchema>['scheduler']

/** L_simple of Ho et al. 2020, eq. 14, on pictures of one size. */
export const ddpmType: RecipeType<typeof ddpmSchema> = {
  name: 'ddpm',
  summary: 'an unconditional diffusion model of pictures',
  schema: ddpmSchema,
  training: {},
  async job({ data, resolution, unet, pretrained, scheduler: noise }, context) {
    const { batchSize, seed } = context
    const { config: network, start } = startingNetwork({ unet, pretrained }, resolution, 'ddpm')
    const scheduler = schedulerOf(noise)
    const dataset = await trainingData(data, { ...context, size: resolution, seed, channels: network.in_channels })

    const params = new Params()
    const shape = [batchSize, network.in_channels, resolution, resolution]
    const [x, t, target] = [input('x', shape), input('t', [batchSize]), input('target', shape)]
    const loss = unet2d(params, network)(x, t).sub(target).square().mean()

    const { num_train_timesteps: steps, beta_schedule: schedule, prediction_type: prediction } = noise
    const process = new GaussianDiffusion(betaSchedule(schedule, { steps, start: 1e-4, end: 0.02 }))

    return {
      task: {
        params,
        loss,
        ...start(params),
        ...(dataset.fingerprint && { data: dataset.fingerprint }),
        async batch(generator) {
          const { images } = await sampleBatch(dataset, generator, batchSize)
          const times = Array.from(generator.randint(0, steps, [batchSize]).data, Number)
          const noise = generator.randn(shape)
          return {
            x: process.addNoise(images, noise, times),
            t: NdArray.from(times),
            target: process.target(prediction, images, noise, times),
          }
        },
      },
      preview: (weights) => previewDdpm({ config: network, scheduler, weights }, context.preview),
      save: (weights, dir) => saveDdpm(dir, { config: network, scheduler, weights }),
    }
  },
}

/**
 * The scheduler as a folder has it. The steps end at the last of training, which few steps would otherwise miss (Lin et al.
 * 2024, section 3.3).
 */
const schedulerOf = (noise: NoiseConfig): SchedulerConfig => ({
  ...noise,
  _class_name: 'DDPMScheduler',
  clip_sample: true,
  variance_type: 'fixed_small',
  timestep_spacing: 'trailing',
})
