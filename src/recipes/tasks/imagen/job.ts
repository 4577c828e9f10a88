import { join } from 'node:path'
import { concat } from '../../../core/functions.ts'
import { input } from '../../../core/tensor.ts'
import { blurred, ContinuousDiffusion, drawAugmentation } from '../../../diffusion/index.ts'
import { encodePng, imageGrid } from '../../../images/index.ts'
import { t5Encoder } from '../../../models/t5/index.ts'
import { Params } from '../../../nn/params.ts'
import { alignedBilinear } from '../../../pipelines/images/bilinear.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { Generator } from '../../../runtime/random.ts'
import { cleanCaption } from '../../../text/index.ts'
import { scenesOf } from '../../data.ts'
import { heldOutSet } from '../../held-out.ts'
import type { RecipeType } from '../../recipe.ts'
import { trainedModel, valuesIn } from '../../stored.ts'
import { cropped, keptPictures, SMALL, sceneDrawer, shrunk } from '../cascade/pictures.ts'
import { picturesBy } from '../cascade/preview.ts'
import { fixedPrompts } from '../text-to-image/fixed-prompts.ts'
import { styleReferences } from './references.ts'
import { type Imagen, imagenSchema, scaleOf } from './schema.ts'
import { frozenText, saveStage, stageNetwork } from './stage.ts'

/**
 * A stage of Imagen (Saharia et al. 2022): pixels from a text that a frozen T5 reads, or a small picture enlarged by it. Levels are drawn
 * in continuous time on the cosine schedule; later stages are told how noisy their small picture is (section 2.2).
 */
export const imagenType: RecipeType<typeof imagenSchema> = {
  name: 'imagen',
  summary: 'a stage of a cascade of diffusion models of captioned scenes, with a frozen T5',
  schema: imagenSchema,
  training: { train_batch_size: 32, learning_rate: 5e-4, lr_warmup_steps: 100, adam_weight_decay: 0.01, ema_decay: 0.999 },
  async job(recipe, { batchSize, seed, preview }) {
    const { data, resolution: size, low_resolution: low, crop = size, tokens, augmentation, scheduler, pool } = recipe
    const scale = scaleOf(recipe)
    const text = frozenText(trainedModel(recipe.text))
    const network = stageNetwork(recipe, text.config)
    const dataset = await scenesOf(data, { size: Math.min(size, SMALL), seed })
    const pictureAt = keptPictures(dataset, size)
    const { num_train_timesteps: steps, prediction_type: prediction } = scheduler
    const diffusion = new ContinuousDiffusion()
    /** Of a time as the discrete scheduler numbers it: its step 0 is time 1/T. */
    const numbered = (times: readonly number[]) => NdArray.from(times.map((t) => t * steps - 1))

    const params = new Params()
    const shape = [batchSize, 3, crop, crop]
    const ids = (name: string) => input(name, [batchSize, tokens], 'i64')
    const states = t5Encoder(Params.frozen(text.weights), text.config)(ids('tokens'), ids('mask'))
    const { references: fields } = recipe
    const references =
      fields && (await styleReferences({ fields, params, width: text.config.d_model, batchSize, data, seed, pool }))
    const context = references ? references.context(states) : states
    const x = input('x', shape)
    const told = augmentation.kind === 'noise' && scale !== undefined ? { classLabels: input('level', [batchSize]) } : {}
    const sample = scale === undefined ? x : concat([x, input('small', shape)], 1)
    const predicted = network
      .build(params)(sample, input('t', [batchSize]), context, told)
      .slice(1, 0, 3)
    const error = predicted.sub(input('target', shape)).square().mean()
    const save = (weights: ReadonlyMap<string, NdArray>, dir: string) =>
      saveStage(dir, { network, weights, text, recipe, references })

    /** Texts as the encoder takes them. */
    const framed = (texts: readonly string[]) => {
      const all = texts.map((one) => text.tokenizer.frame(text.tokenizer.encode(one), tokens))
      const rows = (of: 'ids' | 'mask') =>
        new NdArray(
          BigInt64Array.from(
            all.flatMap((one) => [...one[of]]),
            BigInt,
          ),
          [texts.length, tokens],
          'i64',
        )
      return { tokens: rows('ids'), mask: rows('mask') }
    }
    const before = recipe.pretrained === undefined ? undefined : trainedModel(recipe.pretrained)
    const seen = (all: readonly (boolean | undefined)[]) => NdArray.from(all.map(Number), [batchSize, 1, 1])
    const uniform = (generator: Generator) => Array.from(generator.rand([batchSize]).data, (u) => 1 / steps + u * (1 - 1 / steps))

    return {
      task: {
        params,
        loss: error,
        metrics: { error },
        ...(before !== undefined && { start: references?.start(before) ?? valuesIn(join(before, 'unet'), params) }),
        async batch(generator) {
          const first = Array.from({ length: batchSize }, () => generator.bits() % pool)
          const shown = await references?.draw(dataset, first, generator)
          const positions = shown?.positions ?? first
          const captions = shown?.texts ?? positions.map((at) => cleanCaption(dataset.captionAt(at, generator.bits()).text))
          const left = generator.rand([batchSize]).data
          const told = positions.map((_, i) => (left[i] as number) >= recipe.condition_dropout)
          const kept = captions.map((caption, i) => (told[i] ? caption : ''))
          const parts: NdArray<'f32'>[][] = []
          for (const position of positions) {
            const large = await pictureAt(position)
            if (scale === undefined) parts.push([large])
            else parts.push(cropped([large, enlarged(shrunk(large, scale), size, recipe, generator)], crop, scale, generator))
          }
          const all = (k: number) => NdArray.concat(parts.map((pair) => pair[k] as NdArray<'f32'>))
          const [times, noise, clean] = [uniform(generator), generator.randn(shape), all(0)]
          const feeds = {
            x: diffusion.addNoise(clean, noise, times),
            t: numbered(times),
            target: diffusion.target(prediction, clean, noise, times),
            ...framed(kept),
            ...(shown && { reference: shown.pictures, referenceTold: seen(shown.named.map((named, i) => named && told[i])) }),
          }
          if (scale === undefined) return feeds
          if (augmentation.kind !== 'noise') return { ...feeds, small: all(1) }
          const levels = drawAugmentation(generator, batchSize, augmentation.most - 1 / steps).map((t) => t + 1 / steps)
          return { ...feeds, small: diffusion.addNoise(all(1), generator.randn(shape), levels), level: numbered(levels) }
        },
      },
      async preview(weights) {
        const count = Math.min(preview?.num ?? 8, 32)
        const options = { steps: Math.min(preview?.steps ?? 20, steps), guidance: 3, seed: 0 }
        const written = (dir: string) => save(weights, dir)
        if (references) {
          const positions = Array.from({ length: count }, (_, i) => i)
          const { prompts, pictures, named } = await references.draw(dataset, positions, new Generator(seed))
          const each = prompts.map((prompt, i) => {
            const picture = pictures.slice(0, i, i + 1)
            return { prompt, references: named[i] ? [picture.reshape(picture.shape.slice(2))] : [] }
          })
          return encodePng(imageGrid(await picturesBy(written, undefined, options, each), { columns: Math.min(8, count) }))
        }
        if (low === undefined) {
          const prompts = (recipe.validation_prompts ?? fixedPrompts).slice(0, count).map((prompt) => ({ prompt }))
          return encodePng(imageGrid(await picturesBy(written, undefined, options, prompts), { columns: Math.min(8, count) }))
        }
        const { scenes, captions } = await heldOutSet(data, 'validation', {
          size: Math.min(size, SMALL),
          count: Math.min(count, 6),
        })
        const large = await sceneDrawer(dataset, size)(scenes)
        const prompts = captions.map((prompt) => ({ prompt }))
        const given = shrunk(large, scale as number)
        const made = await picturesBy(
          written,
          given,
          { ...options, ...(augmentation.kind !== 'noise' && { noiseLevel: 0 }) },
          prompts,
        )
        const rows = [alignedBilinear(given, { height: size, width: size }), made, large]
        return encodePng(imageGrid(NdArray.concat(rows), { columns: scenes.length }))
      },
      save,
    }
  },
}

/** The small picture as the network sees it but for its noise: blurred where that is asked for, and enlarged as the pipeline enlarges. */
function enlarged(small: NdArray<'f32'>, size: number, { augmentation }: Imagen, generator: Generator): NdArray<'f32'> {
  const seen = augmentation.kind === 'blur' ? blurred(small, generator, { share: augmentation.share }) : small
  return alignedBilinear(seen, { height: size, width: size })
}
