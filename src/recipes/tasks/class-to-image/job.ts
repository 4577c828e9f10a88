import { join } from 'node:path'
import { input } from '../../../core/tensor.ts'
import { labelsOf } from '../../../data/dataset.ts'
import type { StickerDataset } from '../../../data/index.ts'
import { betaSchedule, GaussianDiffusion } from '../../../diffusion/index.ts'
import { encodePng, imageGrid } from '../../../images/index.ts'
import { ditConfig, ditTransformer } from '../../../models/dit/index.ts'
import { Params } from '../../../nn/params.ts'
import { type ClassBatchParts, createClassBatches } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { type StickersConfig, stickersOf } from '../../data.ts'
import type { RecipeType } from '../../recipe.ts'
import { checkOneOf, trainedModel } from '../../stored.ts'
import { latentPool } from '../latents/pool.ts'
import { gridSampling } from '../text-to-image/fixed-prompts.ts'
import { noising } from '../text-to-image/noise.ts'
import { schedulerOf, storedAutoencoder } from '../text-to-image/pipeline-folder.ts'
import { savePipeline, storedTransformer } from './folder.ts'
import { classToImageSchema } from './schema.ts'
import { boundFeeds, boundTerms } from './variances.ts'

/** Latent diffusion by a transformer conditioned on classes (Peebles and Xie 2023), with classifier-free guidance (Ho and Salimans 2021). */
export const classToImageType: RecipeType<typeof classToImageSchema> = {
  name: 'class-to-image',
  summary: 'a diffusion transformer of stickers by class',
  schema: classToImageSchema,
  training: {
    train_batch_size: 64,
    optimizer: 'muon',
    learning_rate: 2e-3,
    lr_scheduler: 'warmup_stable_decay',
    lr_warmup_steps: 50,
    adam_weight_decay: 0.01,
    ema_decay: 0.997,
  },
  async job(recipe, { batchSize, seed, preview }) {
    const { data, resolution: size, learn_sigma: learnsSigma, scheduler: levels } = recipe
    checkOneOf('class-to-image', { transformer: recipe.transformer, pretrained: recipe.pretrained })
    const dataset = await classesOf(data, { size, seed })
    const vae = storedAutoencoder(trainedModel(recipe.vae))
    const channels = vae.config.latent_channels
    const before =
      recipe.pretrained === undefined
        ? undefined
        : storedTransformer(join(trainedModel(recipe.pretrained), 'transformer'), dataset.classes.length)
    const config = ditConfig(
      {
        ...(before?.config ?? recipe.transformer),
        in_channels: channels,
        out_channels: learnsSigma ? 2 * channels : channels,
        sample_size: size / 2 ** (vae.config.block_out_channels.length - 1),
        num_embeds_ada_norm: dataset.classes.length,
      },
      'transformer',
    )
    const { noised, weightAt, drawTimes } = noising(recipe)
    const { num_train_timesteps: steps, beta_schedule: schedule, beta_start: start, beta_end: end } = levels
    const process = new GaussianDiffusion(betaSchedule(schedule, { steps, start, end }))

    const params = new Params()
    const shape = [batchSize, channels, config.sample_size, config.sample_size]
    const outputs = ditTransformer(params, config)(
      input('x', shape),
      input('t', [batchSize]),
      input('labels', [batchSize], 'i64'),
    )
    const squares = outputs.slice(1, 0, channels).sub(input('target', shape)).square()
    const errors = squares.mean([1, 2, 3])
    const weighted = errors.mul(input('weight', [batchSize])).mean()
    const column = [batchSize, 1, 1, 1]
    const bound = learnsSigma
      ? boundTerms(squares, outputs.slice(1, channels), {
          ...{ meanWeight: input('meanWeight', column), low: input('low', column), high: input('high', column) },
        }).mean()
      : undefined

    const latents = latentPool({
      images: async (at) => (await dataset.batch(at)).images,
      vae,
      count: recipe.pool,
      stamp: { data, size, seed },
    })
    const partsOf = (weights: ReadonlyMap<string, NdArray>): ClassBatchParts => ({
      transformer: { config, weights },
      vae,
      scheduler: schedulerOf(levels),
    })

    return {
      task: {
        params,
        // One term of as many as there are steps, each with the paper's weight of 0.001.
        loss: bound ? weighted.add(bound.mul(steps / 1000)) : weighted,
        metrics: { error: errors.mean(), ...(bound && { bound }) },
        ...(before && { start: before.weights }),
        async batch(generator, step) {
          const positions = Array.from(generator.randint(0, recipe.pool, [batchSize]).data, Number)
          const dropped = generator.rand([batchSize]).data
          const labels = positions.map((at, i) =>
            (dropped[i] as number) < recipe.condition_dropout ? config.num_embeds_ada_norm : dataset.labelAt(at),
          )
          const clean = await latents(positions)
          const times = drawTimes(generator, batchSize, step)
          return {
            ...noised(clean, generator.randn(shape), times),
            weight: NdArray.from(times.map(weightAt)),
            labels: labelsOf(labels),
            ...(bound && boundFeeds(process, levels.prediction_type, times)),
          }
        },
      },
      async preview(weights) {
        const sampler = createClassBatches(partsOf(weights))
        const labels = dataset.classes.map((_, i) => i).slice(0, preview?.num)
        const sampling = { ...gridSampling, steps: Math.min(preview?.steps ?? gridSampling.steps, steps) }
        const pictures = await sampler.generate(labels, sampling)
        await sampler.release()
        return encodePng(imageGrid(pictures, { columns: Math.min(columnsOf(data), labels.length) }))
      },
      save: (weights, dir) => savePipeline(dir, partsOf(weights), dataset.classes.map(withSynonym)),
    }
  },
}

/** The stickers of a recipe, labelled by what they show in which style. */
export async function classesOf(
  data: StickersConfig,
  { size, seed }: { readonly size: number; readonly seed: number },
): Promise<StickerDataset> {
  return stickersOf(data, { size, seed, labels: 'icon and style' })
}

/** How a grid of all classes is laid out: a sticker's styles stand beside each other, in rows of nine or twelve. */
const columnsOf = ({ styles }: StickersConfig): number => styles.length * (styles.length > 2 ? 4 : 6)

/** `fox in 3d style` also under `3d fox`. */
const withSynonym = (name: string): string => {
  const [, word, style] = /^(.*) in (\S+) style$/.exec(name) ?? []
  return word === undefined ? name : `${name}, ${style} ${word}`
}
