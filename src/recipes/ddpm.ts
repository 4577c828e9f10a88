import { join } from 'node:path'
import { z } from 'zod'
import {
  loadConfig,
  matchWeights,
  openWeights,
  readTensor,
  saveConfig,
  saveModel,
  writeModelIndex,
} from '../checkpoints/index.ts'
import { ArgumentError } from '../core/errors.ts'
import { input } from '../core/tensor.ts'
import { sampleBatch } from '../data/index.ts'
import { betaSchedule, GaussianDiffusion, type SchedulerConfig } from '../diffusion/index.ts'
import { encodePng, imageGrid } from '../images/index.ts'
import { type UNet2DConfig, unet2d, unet2dConfig } from '../models/unet/index.ts'
import { Params } from '../nn/params.ts'
import { createDdpm, finish, modelFolder } from '../pipelines/index.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { dataSchema, trainingData } from './data.ts'
import type { RecipeKind } from './recipe.ts'

/** An unconditional DDPM: its pictures, network and noise schedule. Fields of the network and the scheduler are diffusers'. */
export const ddpmSchema = z.object({
  data: dataSchema,
  resolution: z.int().positive().default(32),
  /** The network, where it does not come with `pretrained` weights. */
  unet: z.record(z.string(), z.unknown()).optional(),
  /** A model to go on from, by its folder or the name of a bundled one: fine-tuning. */
  pretrained: z.string().optional(),
  scheduler: z
    .strictObject({
      num_train_timesteps: z.int().positive().default(1000),
      beta_schedule: z.enum(['linear', 'squaredcos_cap_v2']).default('squaredcos_cap_v2'),
      prediction_type: z.enum(['epsilon', 'v_prediction']).default('epsilon'),
    })
    .prefault({}),
})
type NoiseConfig = z.infer<typeof ddpmSchema>['scheduler']

/** How the grids of samples, in a run's folder and in a card, are made. */
export const previewSampling = { num: 64, steps: 50, seed: 0, scheduler: 'ddim' } as const

/** L_simple of Ho et al. 2020, eq. 14, on pictures of one size. */
export const ddpmKind: RecipeKind<typeof ddpmSchema> = {
  name: 'ddpm',
  summary: 'an unconditional diffusion model of pictures',
  schema: ddpmSchema,
  training: {},
  async job({ data, resolution, unet, pretrained, scheduler: noise }, { batchSize, seed }) {
    if ((unet === undefined) === (pretrained === undefined)) throw new ArgumentError('ddpm: give either unet or pretrained')
    const folder = pretrained === undefined ? undefined : join(modelFolder(pretrained), 'unet')
    const network = unet2dConfig({ ...(folder ? loadConfig(folder) : unet), sample_size: resolution }, folder ?? 'unet')
    const scheduler = schedulerOf(noise)
    const dataset = await trainingData(data, { size: resolution, seed })

    const params = new Params()
    const shape = [batchSize, 3, resolution, resolution]
    const [x, t, target] = [input('x', shape), input('t', [batchSize]), input('target', shape)]
    const loss = unet2d(params, network)(x, t).sub(target).square().mean()
    const start = folder ? { start: valuesIn(folder, params) } : {}

    const { num_train_timesteps: steps, beta_schedule: schedule, prediction_type: prediction } = noise
    const process = new GaussianDiffusion(betaSchedule(schedule, { steps, start: 1e-4, end: 0.02 }))

    return {
      task: {
        params,
        loss,
        ...start,
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
      async preview(weights) {
        const ddpm = createDdpm({ config: network, scheduler, weights })
        try {
          const pictures = await finish(ddpm.sample({ ...previewSampling, batch: 64 }))
          return await encodePng(imageGrid(pictures, { columns: 8 }))
        } finally {
          await ddpm.release()
        }
      },
      save: (weights, dir) => saveDdpm(dir, network, scheduler, weights),
    }
  },
}

/** A stored model's parameters. */
function valuesIn(folder: string, params: Params): Map<string, NdArray> {
  const weights = matchWeights(params.tensors, openWeights(folder), { place: folder })
  return new Map([...weights].map(([key, value]) => [key, (value instanceof NdArray ? value : readTensor(value)).cast('f32')]))
}

const DIFFUSERS = '0.40.0'

/**
 * The scheduler as a folder has it. The steps end at the last of training, which few steps would otherwise miss (Lin et al.
 * 2024, section 3.3).
 */
const schedulerOf = (noise: NoiseConfig): SchedulerConfig => ({
  ...noise,
  _class_name: 'DDPMScheduler',
  _diffusers_version: DIFFUSERS,
  clip_sample: true,
  variance_type: 'fixed_small',
  timestep_spacing: 'trailing',
})

/** A folder that diffusers' DDPMPipeline loads. */
function saveDdpm(dir: string, network: UNet2DConfig, scheduler: SchedulerConfig, weights: ReadonlyMap<string, NdArray>): void {
  saveModel(join(dir, 'unet'), { _class_name: 'UNet2DModel', _diffusers_version: DIFFUSERS, ...network }, weights, {
    dtype: 'f16',
  })
  saveConfig(join(dir, 'scheduler'), { ...scheduler }, 'scheduler_config.json')
  writeModelIndex(dir, {
    _class_name: 'DDPMPipeline',
    _diffusers_version: DIFFUSERS,
    components: new Map([
      ['unet', { library: 'diffusers', className: 'UNet2DModel' }],
      ['scheduler', { library: 'diffusers', className: 'DDPMScheduler' }],
    ]),
    options: {},
  })
}
