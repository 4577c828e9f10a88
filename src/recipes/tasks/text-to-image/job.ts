import { input, type Tensor } from '../../../core/tensor.ts'
import { clipText } from '../../../models/clip/index.ts'
import { unet2dCondition } from '../../../models/unet-condition/index.ts'
import { Params } from '../../../nn/params.ts'
import { framed, type PromptBatchParts } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { scenesOf } from '../../data.ts'
import type { RecipeType } from '../../recipe.ts'
import { inMemory, valuesIn } from '../../stored.ts'
import { captionedLatents } from './captioned-latents.ts'
import { promptGrid } from './grid.ts'
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
    const pictures = await captionedLatents({ ...recipe, vae, seed })
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
    const states = (tokens: Tensor) => encoder(tokens).lastHiddenState
    const layout = layouts && layoutLoss({ params, text, encoder: states, dataset: layouts, batchSize })

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
          const { clean, captions } = await pictures.draw(generator, batchSize)
          const times = drawTimes(generator, batchSize, step)
          return {
            ...noised(clean, generator.randn(shape), times),
            weight: NdArray.from(times.map(weightAt)),
            tokens: framed(text.tokenizer, captions),
            ...layout?.feeds(generator),
          }
        },
      },
      validation: heldOutErrors({
        ...{ data, resolution: size, steps: recipe.scheduler.num_train_timesteps, error, shape, noised, vae },
        told: (captions) => ({ tokens: framed(text.tokenizer, captions) }),
      }),
      preview: (weights) => promptGrid(pipelineOf(weights), recipe, preview),
      save: (weights, dir) => savePipeline(dir, pipelineOf(weights), tokenizerDir),
    }
  },
}
