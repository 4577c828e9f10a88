import { join } from 'node:path'
import { z } from 'zod'
import { saveConfig, saveModel, writeModelIndex } from '../../../checkpoints/index.ts'
import { ArgumentError } from '../../../core/errors.ts'
import { concat } from '../../../core/functions.ts'
import { input } from '../../../core/tensor.ts'
import {
  alphasCumprod,
  betaSchedule,
  drawSignalShares,
  levelOfShare,
  noisedTo,
  type SchedulerConfig,
} from '../../../diffusion/index.ts'
import { encodePng, imageGrid, resize } from '../../../images/index.ts'
import { unet2d, unet2dConfig } from '../../../models/unet/index.ts'
import { Params } from '../../../nn/params.ts'
import { toldOf } from '../../../pipelines/sr3/page.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { scenesOf, scenesSchema } from '../../data.ts'
import type { RecipeType } from '../../recipe.ts'
import { trainedModel, valuesIn } from '../../stored.ts'
import { cropped, keptPictures, SMALL, shrunk } from '../cascade/pictures.ts'
import { picturesBy } from '../cascade/preview.ts'

/** A diffusion model that enlarges pictures. Fields of the network and the scheduler are diffusers'. */
export const sr3Schema = z.object({
  data: scenesSchema,
  /** Pixels a side of the large pictures. */
  resolution: z.int().positive().default(256),
  scale: z.int().min(2).default(4),
  /** Pixels a side of the parts of large pictures that one step sees. */
  crop: z.int().positive().default(64),
  /** The network: a `UNet2DModel` of six channels in and three out. */
  unet: z.record(z.string(), z.unknown()),
  /** A trained model of the same network to go on from, by its folder or name. */
  pretrained: z.string().optional(),
  /** The levels that are trained on, of which √γ is any value between two. */
  scheduler: z
    .strictObject({
      num_train_timesteps: z.int().positive().default(2000),
      beta_start: z.number().positive().default(1e-6),
      beta_end: z.number().positive().default(0.01),
      beta_schedule: z.enum(['linear', 'scaled_linear', 'squaredcos_cap_v2']).default('linear'),
    })
    .prefault({}),
  /** How many scenes are learnt from. */
  pool: z.int().positive().default(1024),
})
type Sr3 = z.infer<typeof sr3Schema>

/**
 * Super-resolution by iterative refinement (Saharia et al. 2021): noise is predicted from the noisy picture, the small one enlarged
 * bicubically, and √γ, under the mean absolute error (section 2.3), on parts of pictures.
 */
export const sr3Type: RecipeType<typeof sr3Schema> = {
  name: 'sr3',
  summary: 'a diffusion model that enlarges pictures',
  schema: sr3Schema,
  training: { train_batch_size: 8, learning_rate: 5e-4, lr_warmup_steps: 50, ema_decay: 0.998 },
  async job(recipe, { batchSize, seed, preview }) {
    const { data, resolution: size, scale, crop, scheduler: levels, pool } = recipe
    const config = unet2dConfig({ ...recipe.unet, in_channels: 6, out_channels: 3, sample_size: crop }, 'unet')
    checkSizes(recipe, config.block_out_channels.length)
    const dataset = await scenesOf(data, { size: Math.min(size, SMALL), seed })
    const pictureAt = keptPictures(dataset, size)
    const { num_train_timesteps: steps, beta_start: start, beta_end: end } = levels
    const bars = alphasCumprod(betaSchedule(levels.beta_schedule, { steps, start, end }))

    const params = new Params()
    const shape = [batchSize, 3, crop, crop]
    const seen = concat([input('x', shape), input('small', shape)], 1)
    const error = unet2d(params, config)(seen, input('t', [batchSize]))
      .sub(input('target', shape))
      .abs()
      .mean()

    const save = (weights: ReadonlyMap<string, NdArray>, dir: string) => {
      const scheduler: SchedulerConfig = {
        ...{ _class_name: 'DDPMScheduler', ...levels, prediction_type: 'epsilon', clip_sample: true },
        ...{ variance_type: 'fixed_large', timestep_spacing: 'trailing' },
      }
      saveModel(join(dir, 'unet'), { _class_name: 'UNet2DModel', ...config }, weights, { dtype: 'f16' })
      saveConfig(join(dir, 'scheduler'), { ...scheduler }, 'scheduler_config.json')
      writeModelIndex(dir, {
        _class_name: 'SR3Pipeline',
        components: new Map([
          ['unet', { library: 'diffusers', className: 'UNet2DModel' }],
          ['scheduler', { library: 'diffusers', className: 'DDPMScheduler' }],
        ]),
        options: { scale },
      })
    }

    return {
      task: {
        params,
        loss: error,
        metrics: { error },
        ...(recipe.pretrained !== undefined && { start: valuesIn(join(trainedModel(recipe.pretrained), 'unet'), params) }),
        async batch(generator) {
          const pairs: NdArray<'f32'>[][] = []
          for (let i = 0; i < batchSize; i++) {
            const large = await pictureAt(generator.bits() % pool)
            const small = resize(shrunk(large, scale), { height: size, width: size, kernel: 'bicubic' })
            pairs.push(cropped([large, small], crop, scale, generator))
          }
          const [large, small] = [0, 1].map((k) => NdArray.concat(pairs.map((pair) => pair[k] as NdArray<'f32'>))) as [
            NdArray,
            NdArray,
          ]
          const noise = generator.randn(shape)
          const own = drawSignalShares(bars, batchSize, generator).map(levelOfShare)
          return { x: noisedTo(large, noise, own), small, t: NdArray.from(own.map(toldOf)), target: noise }
        },
      },
      async preview(weights) {
        const count = Math.min(preview?.num ?? 4, 8)
        const large = NdArray.concat(await Promise.all(Array.from({ length: count }, (_, i) => pictureAt(pool + i))))
        const small = shrunk(large, scale)
        const made = await picturesBy((dir) => save(weights, dir), small, {
          steps: Math.min(preview?.steps ?? 20, steps),
          seed: 0,
        })
        const bicubic = resize(small, { height: size, width: size, kernel: 'bicubic', range: [-1, 1] })
        return encodePng(imageGrid(NdArray.concat([bicubic, made, large]), { columns: count }))
      },
      save,
    }
  },
}

/** @throws ArgumentError for sizes that do not go together */
function checkSizes({ resolution, scale, crop }: Sr3, levels: number): void {
  if (resolution % scale !== 0) throw new ArgumentError(`resolution: ${resolution} is no multiple of the scale, ${scale}`)
  const unit = 2 ** (levels - 1)
  if (crop > resolution || crop % unit !== 0)
    throw new ArgumentError(
      `crop: ${crop} must be a multiple of ${unit} for this network, and at most the resolution, ${resolution}`,
    )
}
