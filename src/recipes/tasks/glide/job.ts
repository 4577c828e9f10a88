import { join } from 'node:path'
import { z } from 'zod'
import { loadConfig, matchWeights, openWeightFile } from '../../../checkpoints/index.ts'
import { concat } from '../../../core/functions.ts'
import { input } from '../../../core/tensor.ts'
import { betaSchedule, GaussianDiffusion } from '../../../diffusion/index.ts'
import { encodePng, imageGrid } from '../../../images/index.ts'
import { glide, glideConfig } from '../../../models/glide/index.ts'
import { Params } from '../../../nn/params.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { GlideTokenizer, trainLanguageVocabulary } from '../../../text/index.ts'
import { scenesSchema } from '../../data.ts'
import { heldOutSet, trainingScenes } from '../../held-out.ts'
import { positionsFrom } from '../../positions.ts'
import type { RecipeType } from '../../recipe.ts'
import { checkOneOf, inMemory, trainedModel } from '../../stored.ts'
import { keptPictures } from '../cascade/pictures.ts'
import { picturesBy } from '../cascade/preview.ts'
import { boundFeeds, boundTerms } from '../class-to-image/variances.ts'
import { fixedPrompts } from '../text-to-image/fixed-prompts.ts'
import { spreadTimes } from '../text-to-image/noise.ts'
import { type GlideFile, glideTokenizerOf, saveGlideConfig, saveGlideTokenizer, saveGlideWeights, startFolder } from './folder.ts'
import { drawnMasks } from './masks.ts'

/** GLIDE's first network. Fields of the network are those of OpenAI's program. */
export const glideRecipeSchema = z.object({
  data: scenesSchema,
  /** Pixels a side. */
  resolution: z.int().positive().default(64),
  /** The network, where it does not come with a `pretrained` model. */
  network: z.record(z.string(), z.unknown()).optional(),
  /** A trained model that goes on, by its folder or name. */
  pretrained: z.string().optional(),
  /** In-painting: the network sees a picture where it is known, and where; the finished folder draws from texts as `pretrained` does too. */
  inpaint: z.boolean().default(false),
  tokenizer: z
    .strictObject({
      /** Captions that the vocabulary is learnt from, and its size at most. */
      captions: z.int().positive().default(10_000),
      size: z.int().positive().default(1024),
    })
    .prefault({}),
  /** The share of captions that become empty, for guidance (Nichol et al. 2021, section 2.3). */
  text_drop: z.number().min(0).lt(1).default(0.2),
  /** Scenes that are learnt from. */
  pool: z.int().positive().default(8192),
  /** What grids of samples show, in place of the fixed prompts. */
  validation_prompts: z.array(z.string()).min(1).optional(),
})

/** GLIDE (Nichol et al. 2021, section 4) by the hybrid loss of improved DDPM (Nichol and Dhariwal 2021, eq. 16): noise, and variances. */
export const glideType: RecipeType<typeof glideRecipeSchema> = {
  name: 'glide',
  summary: 'pictures from captions, read by a transformer that learns with the U-Net',
  schema: glideRecipeSchema,
  training: { train_batch_size: 16, learning_rate: 5e-4, lr_warmup_steps: 50, adam_weight_decay: 0.01, ema_decay: 0.995 },
  async job(recipe, { batchSize: B, seed, preview }) {
    const { data, resolution: size, pool, inpaint, network, pretrained } = recipe
    checkOneOf('glide', { network, pretrained })
    const dataset = await trainingScenes(data, { size, seed })
    const pictureAt = keptPictures(dataset, size)
    const before = pretrained === undefined ? undefined : trainedModel(pretrained)
    const captions = () => positionsFrom(0, recipe.tokenizer.captions).map((at) => dataset.captionAt(at).text)
    const vocabulary = before === undefined ? trainLanguageVocabulary(captions(), recipe.tokenizer) : undefined
    const tokenizer = vocabulary ? glideTokenizerOf(vocabulary) : GlideTokenizer.open(before as string)
    const fields = before === undefined ? network : (loadConfig(before).base as object)
    const config = glideConfig({ ...fields, image_size: size, n_vocab: tokenizer.size, inpaint, super_res: false }, 'network')
    const { text_ctx: length, diffusion_steps: steps, noise_schedule } = config
    const process = new GaussianDiffusion(betaSchedule(noise_schedule, { steps }))
    const file: GlideFile = inpaint ? 'base_inpaint' : 'base'

    const params = new Params()
    const { text, predict } = glide(params, config)
    const shape = [B, 3, size, size]
    const said = text(input('tokens', [B, length], 'i64'), input('mask', [B, length]))
    const x = input('x', shape)
    const seen = inpaint ? concat([x, input('known', shape), input('where', [B, 1, size, size])], 1) : x
    const outputs = predict(seen, input('t', [B]), said)
    const squares = outputs.slice(1, 0, 3).sub(input('target', shape)).square()
    const column = [B, 1, 1, 1]
    const columns = { meanWeight: input('meanWeight', column), low: input('low', column), high: input('high', column) }
    const bound = boundTerms(squares, outputs.slice(1, 3), columns).mean()
    const error = squares.mean()

    const save = (weights: ReadonlyMap<string, NdArray>, dir: string) => {
      startFolder(dir, before)
      saveGlideWeights(dir, file, weights)
      const { inpaint: _, super_res: __, ...own } = config
      saveGlideConfig(dir, 'base', own)
      if (vocabulary) saveGlideTokenizer(join(dir, 'tokenizer'), vocabulary)
    }
    const framed = (texts: readonly string[]) => {
      const all = texts.map((one) => tokenizer.frame(tokenizer.encode(one), length))
      const ids = all.flatMap((one) => [...one.ids])
      const mask = NdArray.from(
        all.flatMap((one) => [...one.mask]),
        [texts.length, length],
      )
      return { tokens: new NdArray(BigInt64Array.from(ids, BigInt), [texts.length, length], 'i64'), mask }
    }

    return {
      task: {
        params,
        // One term of as many as there are steps, each with the paper's weight of 0.001.
        loss: error.add(bound.mul(steps / 1000)),
        metrics: { error, bound },
        ...(before && { start: startOf(before, params, inpaint) }),
        async batch(generator) {
          const positions = Array.from(generator.randint(0, pool, [B]).data, Number)
          const left = generator.rand([B]).data
          const texts = positions.map((at, i) =>
            (left[i] as number) < recipe.text_drop ? '' : dataset.captionAt(at, generator.bits()).text,
          )
          const clean = NdArray.concat(await Promise.all(positions.map(pictureAt)))
          const [times, noise] = [spreadTimes(generator, steps, B), generator.randn(shape)]
          const where = inpaint ? drawnMasks(generator, B, size) : undefined
          return {
            x: process.addNoise(clean, noise, times),
            t: NdArray.from(times),
            target: noise,
            ...framed(texts),
            ...boundFeeds(process, 'epsilon', times),
            ...(where && { where, known: clean.mul(where).cast('f32') }),
          }
        },
      },
      /** Prompts' pictures; in-painting: held-out pictures above the same with their middle drawn anew. */
      async preview(weights) {
        const count = Math.min(preview?.num ?? 8, 32)
        const options = { steps: Math.min(preview?.steps ?? 20, steps), seed: 0 }
        const written = (dir: string) => save(weights, dir)
        if (!inpaint) {
          const prompts = (recipe.validation_prompts ?? fixedPrompts).slice(0, count).map((prompt) => ({ prompt }))
          return encodePng(imageGrid(await picturesBy(written, undefined, options, prompts), { columns: Math.min(8, count) }))
        }
        const { scenes, captions: told, render } = await heldOutSet(data, 'validation', { size, count })
        const real = render(scenes)
        const third = Math.floor(size / 4)
        const inside = (i: number) => i >= third && i < size - third
        const mask = NdArray.from(
          Array.from({ length: size * size }, (_, i) => (inside(i % size) && inside(Math.floor(i / size)) ? 1 : -1)),
          [1, size, size],
        )
        const made = await picturesBy(
          written,
          real,
          options,
          told.map((prompt) => ({ prompt, mask })),
        )
        return encodePng(imageGrid(NdArray.concat([real, made]), { columns: count }))
      },
      save,
    }
  },
}

/** Values of a trained first network; what in-painting sees beside the state counts for nothing at first (Nichol et al. 2021, section 2.3). */
function startOf(folder: string, params: Params, inpaint: boolean): Map<string, NdArray> {
  const path = join(folder, 'base.safetensors')
  const first = 'input_blocks.0.0.weight'
  const expected = new Map(
    [...params.tensors].map(([key, tensor]) => {
      const [outputs, , ...sides] = tensor.shape
      return [key, key === first ? { shape: [outputs as number, 3, ...sides] } : tensor]
    }),
  )
  const found = inMemory(matchWeights(expected, openWeightFile(path).tensors, { place: path }))
  const own = found.get(first) as NdArray
  if (inpaint) found.set(first, NdArray.concat([own, NdArray.zeros([own.shape[0] as number, 4, ...own.shape.slice(2)])], 1))
  return found
}
