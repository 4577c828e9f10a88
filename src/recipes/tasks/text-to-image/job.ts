import { input } from '../../../core/tensor.ts'
import { encodePng, imageGrid } from '../../../images/index.ts'
import { clipText } from '../../../models/clip/index.ts'
import { unet2dCondition } from '../../../models/unet-condition/index.ts'
import { Params } from '../../../nn/params.ts'
import { createPromptBatches, framed, type PromptBatchParts } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { scenesOf } from '../../data.ts'
import { trainingScenes } from '../../held-out.ts'
import type { RecipeType } from '../../recipe.ts'
import { inMemory, valuesIn } from '../../stored.ts'
import { latentPool } from '../latents/pool.ts'
import { fixedPrompts, gridSampling } from './fixed-prompts.ts'
import { layoutLoss } from './layout-head.ts'
import { noising } from './noise.ts'
import { openParts } from './parts.ts'
import { savePipeline, schedulerOf } from './pipeline-folder.ts'
import { checkRecipe, textToImageSchema } from './schema.ts'
import { heldOutErrors } from './validation.ts'

/** Latent diffusion conditioned on text (Rombach et al. 2022, section 3.3), with classifier-free guidance (Ho and Salimans 2021). */
export const textToImageType: RecipeType<typeof textToImageSchema> = {
  name: 'text-to-image',
  summary: 'a latent diffusion model of captioned scenes',
  schema: textToImageSchema,
  training: {
    train_batch_size: 64,
    learning_rate: 5e-4,
    lr_warmup_steps: 300,
    adam_weight_decay: 0.01,
    ema_decay: 0.999,
  },
  async job(recipe, { batchSize, seed, preview }) {
    checkRecipe(recipe)
    const { data, resolution: size, train_text_encoder: textLearns, layout_weight: layoutWeight } = recipe
    const { vae, text, tokenizerDir, network, unetDir } = openParts(recipe)
    const dataset = await trainingScenes(data, { size, seed })
    // Captions alone, of which no picture is seen: these may be of held-out scenes, in the words of training.
    const layouts = layoutWeight === undefined ? undefined : await scenesOf(data, { size, seed })
    const { noised, weightAt, drawTimes } = noising(recipe)

    const params = new Params()
    const shape = [batchSize, network.in_channels, network.sample_size as number, network.sample_size as number]
    const denoiser = unet2dCondition(params, network)
    const denoiserKeys = [...params.tensors.keys()]
    const denoiserStart = unetDir ? valuesIn(unetDir, params) : new Map<string, NdArray>()
    const textStart = inMemory(text.weights)
    const encoder = clipText(textLearns ? params : Params.frozen(textStart), text.config)
    const context = encoder(input('tokens', [batchSize, text.tokenizer.maxLength], 'i64')).lastHiddenState
    const predicted = denoiser(input('x', shape), input('t', [batchSize]), context)
    const errors = predicted.sub(input('target', shape)).square().mean([1, 2, 3])
    const error = errors.mean()
    const weighted = errors.mul(input('weight', [batchSize])).mean()
    const layout = layouts && layoutLoss({ params, text, encoder, dataset: layouts, batchSize })

    const images = async (positions: readonly number[]) => (await dataset.batch(positions)).images
    const latents = latentPool({ images, vae, count: recipe.pool, stamp: { data, size, seed } })
    /** The whole pipeline, of the weights that learn. */
    const pipelineOf = (weights: ReadonlyMap<string, NdArray>): PromptBatchParts => {
      const own = (keys: Iterable<string>) => new Map([...keys].map((key) => [key, weights.get(key) as NdArray]))
      const told = textLearns ? { ...text, weights: own(textStart.keys()) } : text
      return {
        unet: { config: network, weights: own(denoiserKeys) },
        text: told,
        vae,
        scheduler: schedulerOf(recipe.scheduler),
        size,
      }
    }

    return {
      task: {
        params,
        loss: layout ? weighted.add(layout.loss.mul(layoutWeight as number)) : weighted,
        metrics: { error, ...(layout && { layout: layout.loss }) },
        start: new Map([...denoiserStart, ...(textLearns ? textStart : [])]),
        async batch(generator, step) {
          const positions = Array.from(generator.randint(0, recipe.pool, [batchSize]).data, Number)
          const captions = positions.map((at) => dataset.captionAt(at, generator.bits()).text)
          const told = generator.rand([batchSize]).data
          const kept = captions.map((caption, i) => ((told[i] as number) < recipe.condition_dropout ? '' : caption))
          const clean = await latents(positions)
          const times = drawTimes(generator, batchSize, step)
          return {
            ...noised(clean, generator.randn(shape), times),
            weight: NdArray.from(times.map(weightAt)),
            tokens: framed(text.tokenizer, kept),
            ...layout?.feeds(generator),
          }
        },
      },
      validation: heldOutErrors(recipe, { error, shape, noised, vae, text }),
      async preview(weights) {
        const sampler = createPromptBatches(pipelineOf(weights))
        const prompts = (recipe.validation_prompts ?? fixedPrompts).slice(0, preview?.num)
        const steps = Math.min(preview?.steps ?? gridSampling.steps, recipe.scheduler.num_train_timesteps)
        const pictures = await sampler.generate(prompts, { ...gridSampling, steps })
        await sampler.release()
        return encodePng(imageGrid(pictures, { columns: Math.min(8, prompts.length) }))
      },
      save: (weights, dir) => savePipeline(dir, pipelineOf(weights), tokenizerDir),
    }
  },
}
