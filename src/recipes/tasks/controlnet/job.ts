import { saveModel } from '../../../checkpoints/index.ts'
import { input } from '../../../core/tensor.ts'
import { encodePng, imageGrid, imagesOf } from '../../../images/index.ts'
import { clipText } from '../../../models/clip/index.ts'
import { Params } from '../../../nn/params.ts'
import { createPromptBatches, framed } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import type { RecipeType } from '../../recipe.ts'
import { inMemory, valuesIn } from '../../stored.ts'
import { latentPool } from '../latents/pool.ts'
import { stageAt } from '../text-to-image/fields.ts'
import { gridSampling } from '../text-to-image/fixed-prompts.ts'
import { spreadTimes } from '../text-to-image/noise.ts'
import { diffusersClass } from '../text-to-image/pipeline-folder.ts'
import { checkBiases } from '../text-to-image/schema.ts'
import { controlData } from './data.ts'
import { controlConfigOf, controlObjective, controlStart, noiseOf, openBase, storedModel } from './network.ts'
import { checkConditions, controlnetSchema } from './schema.ts'
import { controlValidation } from './validation.ts'

/** A ControlNet (Zhang et al. 2023): a copy of a text-to-image model's encoder learns to follow control images; the model stays as it is. */
export const controlnetType: RecipeType<typeof controlnetSchema> = {
  name: 'controlnet',
  summary: 'a ControlNet: control images for a text-to-image model, which stays as it is',
  schema: controlnetSchema,
  training: {
    train_batch_size: 16,
    learning_rate: 5e-4,
    lr_scheduler: 'constant',
    lr_warmup_steps: 50,
    adam_weight_decay: 0.01,
    ema_decay: 0.99,
  },
  async job(recipe, { batchSize, seed, preview, ...watch }) {
    checkConditions(recipe)
    const { pretrained_model_name_or_path: baseName, controlnet_model_name_or_path: before, resolution: size } = recipe
    const base = await openBase(baseName)
    const { process, prediction } = noiseOf(base.scheduler)
    checkBiases({ ...recipe, scheduler: { num_train_timesteps: process.steps } })
    const factor = 2 ** (base.vae.config.block_out_channels.length - 1)
    const config = controlConfigOf(base.unet.config, factor, recipe.conditioning_embedding_out_channels)
    const data = await controlData(recipe, { seed, ...watch })
    const latents = latentPool({ images: data.images, vae: base.vae, count: data.pool, stamp: data.stamp })

    const params = new Params()
    const unet = { config: base.unet.config, weights: inMemory(base.unet.weights) }
    const encoder = clipText(Params.frozen(inMemory(base.text.weights)), base.text.config)
    const context = encoder(input('tokens', [batchSize, base.text.tokenizer.maxLength], 'i64')).lastHiddenState
    const side = size / factor
    const parts = { params, config, unet, context, batchSize, height: side, width: side, factor }
    const { error, plainError } = controlObjective(parts)
    const shape = [batchSize, unet.config.in_channels, side, side]
    const start = before === undefined ? undefined : valuesIn(storedModel(before), params)
    const noised = (clean: NdArray, noise: NdArray, times: readonly number[]) => ({
      x: process.addNoise(clean, noise, times),
      t: NdArray.from(times),
      target: process.target(prediction, clean, noise, times),
    })
    const told = (captions: readonly string[]) => ({ tokens: framed(base.text.tokenizer, captions) })
    const controlled = (weights: ReadonlyMap<string, NdArray>) => ({ ...base, size, controls: [{ config, weights }] })

    return {
      task: {
        params,
        loss: error,
        start: start ?? controlStart(params, unet.weights, seed, recipe.zero_convolutions),
        ...(data.fingerprint !== undefined && { data: data.fingerprint }),
        async batch(generator, step) {
          const positions = Array.from(generator.randint(0, data.pool, [batchSize]).data, Number)
          const captions = await data.captions(positions, generator)
          const left = generator.rand([batchSize]).data
          const kept = captions.map((caption, i) => ((left[i] as number) < recipe.proportion_empty_prompts ? '' : caption))
          const times = spreadTimes(generator, process.steps, batchSize, stageAt(recipe.timestep_bias, step))
          return {
            ...noised(await latents(positions), generator.randn(shape), times),
            ...told(kept),
            hint: await data.hints(positions),
          }
        },
      },
      validation: controlValidation({
        ...{ data, shape, steps: process.steps, error, plainError, noised, told, vae: base.vae },
        sampler: (weights) => createPromptBatches(controlled(weights)),
      }),
      /** Rows of control images, and under each what is made of it and its caption. */
      async preview(weights) {
        const { hints, captions } = await data.shown(preview?.num ?? 16)
        const sampler = createPromptBatches(controlled(weights))
        const steps = Math.min(preview?.steps ?? gridSampling.steps, process.steps)
        const pictures = await sampler.generate(captions, { ...gridSampling, steps, hints: [hints] })
        await sampler.release()
        const [maps, made] = [imagesOf(hints.mul(2).sub(1)), imagesOf(pictures)]
        const columns = Math.min(8, captions.length)
        const rows = Array.from({ length: Math.ceil(captions.length / columns) }, (_, row) => row * columns)
        const tiles = rows.flatMap((from) => {
          const [above, below] = [maps, made].map((all) => all.slice(from, from + columns))
          const blank = Array.from({ length: columns - (above?.length ?? 0) }, () => NdArray.full([3, size, size], 1))
          return [...(above ?? []), ...blank, ...(below ?? []), ...blank]
        })
        return encodePng(imageGrid(tiles, { columns }))
      },
      save: (weights, dir) => saveModel(dir, { ...diffusersClass('ControlNetModel'), ...config }, weights, { dtype: 'f16' }),
    }
  },
}
