import { z } from 'zod'
import { loadConfig, saveModel } from '../../../checkpoints/index.ts'
import { ArgumentError } from '../../../core/errors.ts'
import { input, type Tensor } from '../../../core/tensor.ts'
import { sampleBatch } from '../../../data/index.ts'
import { encodePng, imageGrid } from '../../../images/index.ts'
import { perceptualDistance } from '../../../models/classifier/index.ts'
import {
  type AutoencoderKLConfig,
  autoencoderKL,
  autoencoderKLConfig,
  klDivergence,
  samplePosterior,
} from '../../../models/vae/index.ts'
import { Params } from '../../../nn/params.ts'
import { type Autoencoder, createAutoencoder } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { scenesOf, scenesSchema } from '../../data.ts'
import { trainingScenes } from '../../held-out.ts'
import { positionsFrom } from '../../positions.ts'
import type { RecipeType } from '../../recipe.ts'
import { checkOneOf, frozenClassifier, trainedModel, valuesIn } from '../../stored.ts'
import { adversarialSchema, adversarialStage } from './adversarial.ts'
import { locality, localitySchema, twinsOf } from './locality.ts'

/** An autoencoder of scenes. */
export const vaeSchema = z.object({
  data: scenesSchema,
  resolution: z.int().positive().default(64),
  /** A new network, by diffusers' fields but for the scaling factor, which is measured. */
  vae: z.record(z.string(), z.unknown()).optional(),
  /** Instead of one: a trained one, by its folder or name. Its decoder alone goes on, so that latents stay what they are. */
  pretrained: z.string().optional(),
  /** Of a picture's divergence in nats, summed over its latents, against its error, summed over its values. */
  kl_weight: z.number().min(0).default(1e-6),
  perceptual: z
    .strictObject({
      /** The folder or name of a classifier whose layers compare pictures. */
      classifier: z.string().default('sticker-classifier-32'),
      weight: z.number().min(0).default(1),
    })
    .prefault({}),
  /** Keeps latents to what is at their position. */
  locality: localitySchema.optional(),
  /** A last stage against a discriminator. */
  adversarial: adversarialSchema.optional(),
})

/** The first-stage model of latent diffusion: Rombach et al. 2022, appendix G; its adversarial stage: Esser et al. 2021, section 3.1. */
export const vaeType: RecipeType<typeof vaeSchema> = {
  name: 'autoencoder',
  summary: 'an autoencoder whose latents a diffusion model learns',
  schema: vaeSchema,
  training: {
    train_batch_size: 8,
    learning_rate: 5e-4,
    lr_warmup_steps: 200,
    adam_beta1: 0.5,
    adam_beta2: 0.9,
    adam_weight_decay: 0,
    max_grad_norm: 10,
    ema_decay: 0.998,
  },
  async job(recipe, { batchSize, seed }) {
    const { data, resolution: size, vae, pretrained, kl_weight, perceptual, adversarial } = recipe
    if (recipe.locality && pretrained !== undefined)
      throw new ArgumentError('autoencoder: locality moves the encoder, and with pretrained it stays; leave one out')
    const { config, params, start, fixed } = startingAutoencoder({ vae, pretrained }, size)
    const dataset = await trainingScenes(data, { size, seed })
    const eyes = frozenClassifier(trainedModel(perceptual.classifier), size)

    const { encode, decode } = autoencoderKL(params, config)
    const side = size / factorOf(config)
    const latents = [batchSize, config.latent_channels, side, side]
    const [images, noise] = [input('images', [batchSize, 3, size, size]), input('noise', latents)]
    const posterior = encode(images)
    const made = decode(samplePosterior(posterior, noise))
    const l1 = made.sub(images).abs().mean()
    const seen = perceptualDistance(eyes(made).maps, eyes(images).maps)
    const error = l1.add(seen.mul(perceptual.weight))
    const kl = klDivergence(posterior).mean()
    const local = recipe.locality && locality(images, posterior.mean, (x) => encode(x).mean)
    const small = kl.mul(kl_weight / (3 * size * size))
    const narrow = recipe.locality && local ? small.add(local.mul(recipe.locality.weight)) : small
    const metrics = { psnr: psnrOf(made, images), l1, perceptual: seen, kl, ...(local && { locality: local }) }

    const stages = adversarial && [
      adversarialStage({
        params,
        config: adversarial,
        made,
        images,
        error,
        narrow,
        metrics,
        last: params.tensors.get('decoder.conv_out.weight') as Tensor,
      }),
    ]
    const own = (weights: ReadonlyMap<string, NdArray>) =>
      new Map([...fixed, ...[...weights].filter(([key]) => !key.startsWith('discriminator.'))])
    const withCoder = async <T>(weights: ReadonlyMap<string, NdArray>, use: (coder: Autoencoder) => Promise<T>): Promise<T> => {
      const coder = createAutoencoder({ config, weights: own(weights) }, { batch: batchSize })
      try {
        return await use(coder)
      } finally {
        await coder.release()
      }
    }

    return {
      task: {
        params,
        loss: error.add(narrow),
        metrics,
        ...(stages && { later: stages }),
        ...(start && { start }),
        async batch(generator) {
          const batch = await sampleBatch(dataset, generator, batchSize)
          const given = { images: batch.images, noise: generator.randn(latents) }
          const margin = recipe.locality?.margin
          return margin === undefined
            ? given
            : { ...given, ...twinsOf(batch, dataset.render, generator, { cells: side, margin }) }
        },
      },
      validation: {
        names: heldOut.map((split) => `psnr_${split}`),
        measure: (weights) =>
          withCoder(weights, async (coder) => {
            const found: Record<string, number> = {}
            for (const split of heldOut) {
              const { images } = await (await scenesOf(data, { size, seed: seed + 1, split })).batch(positionsFrom(0, 64))
              found[`psnr_${split}`] = meanPsnr(images, await coder.decode(await coder.encode(images)))
            }
            return found
          }),
      },
      preview: (weights) =>
        withCoder(weights, async (coder) => {
          const rows: NdArray<'f32'>[] = []
          for (const split of heldOut) {
            const { images } = await (await scenesOf(data, { size, seed: seed + 1, split })).batch(positionsFrom(0, 16))
            rows.push(images, await coder.decode(await coder.encode(images)))
          }
          return encodePng(imageGrid(NdArray.concat(rows), { columns: 16 }))
        }),
      save: (weights, dir) =>
        withCoder(weights, async (coder) => {
          const measured = async () => 1 / (await coder.encode((await dataset.batch(positionsFrom(0, 512))).images)).std().item()
          const fields = { ...config, scaling_factor: start ? config.scaling_factor : await measured() }
          saveModel(dir, { _class_name: 'AutoencoderKL', _diffusers_version: '0.40.0', ...fields }, own(weights), {
            dtype: 'f16',
          })
        }),
    }
  },
}

/** A new network, or a trained one whose encoder is `fixed` and whose decoder has values to `start` from. */
function startingAutoencoder({ vae, pretrained }: Pick<z.infer<typeof vaeSchema>, 'vae' | 'pretrained'>, size: number) {
  checkOneOf('autoencoder', { vae, pretrained })
  if (pretrained === undefined)
    return { config: autoencoderKLConfig({ ...vae, sample_size: size }, 'vae'), params: new Params(), fixed: new Map() }
  const folder = trainedModel(pretrained)
  const config = autoencoderKLConfig({ ...loadConfig(folder), sample_size: size }, folder)
  const all = new Params()
  autoencoderKL(all, config)
  const [fixed, start] = [new Map<string, NdArray>(), new Map<string, NdArray>()]
  for (const [key, value] of valuesIn(folder, all)) (/^(encoder|quant_conv)\./.test(key) ? fixed : start).set(key, value)
  return { config, params: Params.frozen(fixed), start, fixed }
}

/** Scenes that training does not show: known icons in other places, icons never seen. */
const heldOut = ['phrasings', 'icons'] as const

const factorOf = ({ block_out_channels: widths }: AutoencoderKLConfig) => 2 ** (widths.length - 1)

/** Peak signal-to-noise ratio in decibels, of values in [−1, 1]: over all pictures as one. */
const psnrOf = (made: Tensor, images: Tensor): Tensor =>
  made
    .clip(-1, 1)
    .sub(images)
    .square()
    .mean()
    .div(4)
    .log()
    .mul(-10 / Math.LN10)

/** The mean of the pictures' peak signal-to-noise ratios, in decibels: images [N, C, H, W] in [−1, 1]. */
export function meanPsnr(images: NdArray<'f32'>, made: NdArray<'f32'>): number {
  const errors = made
    .clamp(-1, 1)
    .sub(images)
    .square()
    .mean({ axes: [1, 2, 3] })
  return errors
    .map((error) => -10 * Math.log10(error / 4))
    .mean()
    .item()
}
