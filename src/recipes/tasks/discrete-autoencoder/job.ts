import { z } from 'zod'
import { saveModel } from '../../../checkpoints/index.ts'
import { ArgumentError } from '../../../core/errors.ts'
import { arange, input } from '../../../core/tensor.ts'
import { sampleBatch } from '../../../data/index.ts'
import { encodePng, imageGrid } from '../../../images/index.ts'
import {
  betaSchedule,
  type CosineSchedule,
  DVAE_FACTOR,
  divergenceFromUniform,
  effectiveBeta,
  hardTokens,
  logitLaplace,
  mapPixels,
  oneHot,
  openAIDiscreteVAE,
  openAIDiscreteVAEConfig,
  relaxedCodes,
  scheduled,
  temperatureSchedule,
  unmapPixels,
  usageDivergence,
} from '../../../models/dvae/index.ts'
import { Params } from '../../../nn/params.ts'
import { type TokenCoder, tokenCoder } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { Generator } from '../../../runtime/random.ts'
import { scenesOf, scenesSchema } from '../../data.ts'
import { trainingScenes } from '../../held-out.ts'
import { positionsFrom } from '../../positions.ts'
import type { RecipeType } from '../../recipe.ts'
import { meanPsnr } from '../autoencoder/autoencoder.ts'
import { scaledStart } from './start.ts'
import { perplexityOf } from './usage.ts'

const schedule = (paper: CosineSchedule, value: z.ZodNumber) =>
  z
    .strictObject({
      from: value.default(paper.from),
      to: value.default(paper.to),
      steps: z.int().positive().default(paper.steps),
    })
    .prefault({})

/** A discrete autoencoder of scenes. Fields of the network are those of OpenAI's code. */
export const discreteAutoencoderSchema = z.object({
  data: scenesSchema,
  resolution: z.int().positive().multipleOf(DVAE_FACTOR).default(64),
  dvae: z.record(z.string(), z.unknown()).default({}),
  /** The temperature of the relaxation, along half a cosine; the paper's by default. */
  temperature: schedule(temperatureSchedule, z.number().positive()),
  /** The weight of the divergence, β, of which a 192nd acts; the paper's by default. */
  kl: schedule(betaSchedule, z.number().min(0)),
  /**
   * The weight of the divergence of all tokens' mean distribution from the uniform one: without it, pictures of few flat colours are soon told
   * by a handful of codes (Baevski et al. 2020). The paper has none.
   */
  diversity: z.number().min(0).default(0),
  /**
   * Pixels' distributions are taken to be no narrower: the logarithm of b. On flat colours they would go on narrowing without an end; at −4
   * they are as narrow as the levels of a picture.
   */
  least_log_scale: z.number().default(-4),
})

/** The discrete autoencoder of DALL·E: Ramesh et al. 2021, section 2.1 and appendix A. */
export const discreteAutoencoderType: RecipeType<typeof discreteAutoencoderSchema> = {
  name: 'discrete-autoencoder',
  summary: 'an autoencoder whose latents are tokens',
  schema: discreteAutoencoderSchema,
  training: {
    train_batch_size: 16,
    learning_rate: 1e-3,
    lr_warmup_steps: 100,
    adam_weight_decay: 1e-4,
    ema_decay: 0.999,
  },
  async job(
    { data, resolution: size, dvae: fields, temperature, kl: beta, diversity, least_log_scale: least },
    { batchSize, seed },
  ) {
    const config = openAIDiscreteVAEConfig(fields, 'dvae')
    const { vocab_size: codes, input_channels, output_channels } = config
    if (input_channels !== 3 || output_channels !== 3)
      throw new ArgumentError(`dvae: ${input_channels} and ${output_channels} channels; scenes have 3`)
    const dataset = await trainingScenes(data, { size, seed })
    const params = new Params()
    const { encode, decode } = openAIDiscreteVAE(params, config)
    const side = size / DVAE_FACTOR
    const shape = [batchSize, codes, side, side]
    const [images, uniform] = [input('images', [batchSize, 3, size, size]), input('uniform', shape)]
    const [tau, weight] = [input('temperature', [1, 1, 1, 1]), input('beta', [1])]
    const pixels = images.add(1).div(2)
    const logits = encode(pixels)
    const { mean, logScale } = decode(relaxedCodes(logits, uniform, tau))
    const density = logitLaplace(mapPixels(pixels), { mean, logScale: logScale.maximum(least) }).mean()
    const divergence = divergenceFromUniform(logits).mean()
    const usage = usageDivergence(logits)
    const loss = divergence.mul(weight.reshape([])).add(usage.mul(diversity)).sub(density)
    const made = unmapPixels(mean.sigmoid())
    const error = made.sub(pixels).square().mean()
    const used = oneHot(hardTokens(logits), arange(codes, 'i64')).mean([0, 2, 3])
    const perplexity = used.mul(used.add(1e-10).log()).sum().neg().exp()

    const withCoder = async <T>(weights: ReadonlyMap<string, NdArray>, use: (coder: TokenCoder) => Promise<T>): Promise<T> => {
      const coder = tokenCoder({ className: 'OpenAIDiscreteVAE', config, weights })
      try {
        return await use(coder)
      } finally {
        await coder.release()
      }
    }
    const shown = async (split: (typeof heldOut)[number], count: number) =>
      (await (await scenesOf(data, { size, seed: seed + 1, split })).batch(positionsFrom(0, count))).images

    const first = (await dataset.batch(positionsFrom(0, 32))).images
    return {
      task: {
        params,
        loss,
        start: await scaledStart(config, new Generator(seed), first),
        metrics: { density, divergence, usage, perplexity, psnr: error.log().mul(-10 / Math.LN10) },
        async batch(generator, step) {
          const { images } = await sampleBatch(dataset, generator, batchSize)
          const acting = effectiveBeta(scheduled(beta, step - 1), [side, side], [3, size, size])
          return {
            images,
            uniform: generator.rand(shape),
            temperature: NdArray.full([1, 1, 1, 1], scheduled(temperature, step - 1)),
            beta: NdArray.full([1], acting),
          }
        },
      },
      validation: {
        names: [...heldOut.map((split) => `psnr_${split}`), 'perplexity'],
        measure: (weights) =>
          withCoder(weights, async (coder) => {
            const found: Record<string, number> = {}
            for (const split of heldOut) {
              const images = await shown(split, 64)
              const tokens = await coder.encode(images)
              found[`psnr_${split}`] = meanPsnr(images, await coder.decode(tokens))
              found.perplexity ??= perplexityOf(tokens, codes)
            }
            return found
          }),
      },
      preview: (weights) =>
        withCoder(weights, async (coder) => {
          const rows: NdArray<'f32'>[] = []
          for (const split of heldOut) {
            const images = await shown(split, 16)
            rows.push(images, await coder.decode(await coder.encode(images)))
          }
          return encodePng(imageGrid(NdArray.concat(rows), { columns: 16 }))
        }),
      save: (weights, dir) => saveModel(dir, { _class_name: 'OpenAIDiscreteVAE', ...config }, weights, { dtype: 'f16' }),
    }
  },
}

/** Scenes that training does not show: known icons in other places, icons never seen. */
const heldOut = ['phrasings', 'icons'] as const
