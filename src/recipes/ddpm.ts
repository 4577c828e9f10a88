import { join } from 'node:path'
import { z } from 'zod'
import { writeAll, writeAtomic } from '../checkpoints/atomic.ts'
import { saveConfig, saveModel, writeModelIndex } from '../checkpoints/index.ts'
import { input } from '../core/tensor.ts'
import { categories, type Dataset, imageFolder, sampleBatch, stickerDataset, styles } from '../data/index.ts'
import { alphasCumprod, betaSchedule, GaussianDiffusion, schedulerFromConfig } from '../diffusion/index.ts'
import { encodePng, imageGrid, imagesOf } from '../images/index.ts'
import { type UNet2DConfig, unet2d, unet2dSchema } from '../models/unet/index.ts'
import { Params } from '../nn/params.ts'
import { Generator } from '../runtime/random.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { compile } from '../runtime/program.ts'
import type { TrainingJob } from '../training/run.ts'

/** Which pictures to learn. */
const dataSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('stickers'),
    styles: z.array(z.enum(styles)).default([...styles]),
    categories: z.array(z.enum(categories)).default([...categories]),
  }),
  z.object({ kind: z.literal('folder'), train_data_dir: z.string(), random_flip: z.boolean().default(true) }),
])

/** An unconditional DDPM: its pictures, network and noise schedule. Fields of the network and the scheduler are diffusers'. */
export const ddpmSchema = z.object({
  data: dataSchema,
  resolution: z.int().positive().default(32),
  unet: z.record(z.string(), z.unknown()),
  scheduler: z.object({
    num_train_timesteps: z.int().positive().default(1000),
    beta_schedule: z.enum(['linear', 'squaredcos_cap_v2']).default('squaredcos_cap_v2'),
    prediction_type: z.enum(['epsilon', 'v_prediction']).default('epsilon'),
  }),
})
export type DdpmConfig = z.infer<typeof ddpmSchema>

const DIFFUSERS = '0.40.0'

/** L_simple of Ho et al. 2020, eq. 14, on pictures of one size. */
export async function ddpmJob(given: z.input<typeof ddpmSchema>, { batchSize, seed }: { batchSize: number; seed: number }): Promise<TrainingJob> {
  const config = ddpmSchema.parse(given)
  const { resolution, scheduler } = config
  const network: UNet2DConfig = unet2dSchema.parse({ ...config.unet, sample_size: resolution })
  const dataset = await openData(config, seed)

  const params = new Params()
  const unet = unet2d(params, network)
  const shape = [batchSize, 3, resolution, resolution]
  const [x, t, target] = [input('x', shape), input('t', [batchSize]), input('target', shape)]
  const loss = unet(x, t).sub(target).square().mean()

  const steps = scheduler.num_train_timesteps
  const process = new GaussianDiffusion(betaSchedule(scheduler.beta_schedule, { steps, start: 1e-4, end: 0.02 }))
  const prediction = scheduler.prediction_type === 'epsilon' ? 'epsilon' : 'v_prediction'

  return {
    task: {
      params,
      loss,
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
    async preview(weights, file) {
      const pictures = await sampleGrid(network, scheduler, weights, { num: 64, steps: 50 })
      const png = await encodePng(imageGrid(imagesOf(pictures), { columns: 8 }))
      writeAtomic(file, (fd) => writeAll(fd, png))
      return png
    },
    save: (weights, dir) => saveDdpm(dir, network, scheduler, weights),
  }
}

function openData({ data, resolution }: DdpmConfig, seed: number): Promise<Dataset> {
  if (data.kind === 'stickers') {
    return stickerDataset({ size: resolution, styles: data.styles, categories: data.categories, seed })
  }
  return imageFolder({ dir: data.train_data_dir, size: resolution, flip: data.random_flip, seed })
}

/** Pictures [num, 3, H, W] by DDIM. */
async function sampleGrid(
  network: UNet2DConfig,
  scheduler: DdpmConfig['scheduler'],
  weights: ReadonlyMap<string, NdArray>,
  { num, steps }: { num: number; steps: number },
): Promise<NdArray<'f32'>> {
  const side = network.sample_size as number
  const [x, t] = [input('x', [num, 3, side, side]), input('t', [num])]
  const program = await compile({ outputs: { y: unet2d(new Params(), network)(x, t) }, weights })
  try {
    const sampler = schedulerFromConfig({ _class_name: 'DDIMScheduler', ...scheduler, clip_sample: true, timestep_spacing: 'trailing' })
    const generator = new Generator(0)
    const model = async (sample: NdArray, time: number) =>
      (await program.run({ x: sample, t: NdArray.full([num], time) })).y as NdArray
    const run = sampler.run(model, generator.randn([num, 3, side, side]), { steps, generator })
    for (let next = await run.next(); ; next = await run.next()) if (next.done) return next.value.cast('f32')
  } finally {
    await program.release()
  }
}

/** A folder that diffusers' DDPMPipeline loads. */
function saveDdpm(dir: string, network: UNet2DConfig, scheduler: DdpmConfig['scheduler'], weights: ReadonlyMap<string, NdArray>): void {
  saveModel(join(dir, 'unet'), { _class_name: 'UNet2DModel', _diffusers_version: DIFFUSERS, ...network }, weights, { dtype: 'f16' })
  saveConfig(
    join(dir, 'scheduler'),
    { _class_name: 'DDPMScheduler', _diffusers_version: DIFFUSERS, ...scheduler, clip_sample: true, variance_type: 'fixed_small' },
    'scheduler_config.json',
  )
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
