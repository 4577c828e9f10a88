import { z } from 'zod'
import { saveModel } from '../../../checkpoints/index.ts'
import { ArgumentError } from '../../../core/errors.ts'
import { concat } from '../../../core/functions.ts'
import { input, type Tensor } from '../../../core/tensor.ts'
import type { FilmDataset, FilmShape } from '../../../data/index.ts'
import { encodePng, imageGrid, imagesOf } from '../../../images/index.ts'
import { perceptualDistance } from '../../../models/classifier/index.ts'
import { videoFactors, videoVae, videoVaeConfig } from '../../../models/video-vae/index.ts'
import { FilmMemory } from '../../../nn/causal.ts'
import { Params } from '../../../nn/params.ts'
import { type VideoCoder, videoCoder } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { positionsFrom } from '../../positions.ts'
import type { RecipeType } from '../../recipe.ts'
import { frozenClassifier, trainedModel } from '../../stored.ts'
import { meanPsnr } from '../autoencoder/autoencoder.ts'
import { filmsOf, filmsSchema, shapeFields } from './fields.ts'

export const videoVaeRecipe = z.object({
  data: filmsSchema.prefault({}),
  ...shapeFields,
  /** The network's fields but for the scaling factor, which is measured. */
  vae: z.record(z.string(), z.unknown()).default({}),
  /** Of a film's divergence in nats, summed over its latents, against its error, summed over its values. */
  kl_weight: z.number().min(0).default(1e-3),
  /** A classifier whose layers compare a film's first, middle and last pictures; without it there is the mean error alone. */
  perceptual: z.strictObject({ classifier: z.string().default('sticker-classifier-32'), weight: z.number().min(0) }).optional(),
})

/** The compression network of films: over space and time, the first frame alone (Yu et al. 2024; Brooks et al. 2024). */
export const videoVaeType: RecipeType<typeof videoVaeRecipe> = {
  name: 'video-autoencoder',
  summary: 'an autoencoder over space and time whose latents a diffusion model of films learns',
  schema: videoVaeRecipe,
  training: {
    train_batch_size: 2,
    learning_rate: 1e-3,
    lr_warmup_steps: 100,
    adam_weight_decay: 0,
    max_grad_norm: 10,
    ema_decay: 0.998,
  },
  async job(recipe, { batchSize, seed }) {
    const { data, width, height, frames, rate, kl_weight, perceptual } = recipe
    const shape: FilmShape = { width, height, frames, rate }
    const config = videoVaeConfig(recipe.vae, 'vae')
    const { space, time } = videoFactors(config)
    if (width % space !== 0 || height % space !== 0 || (frames - 1) % time !== 0)
      throw new ArgumentError(
        `video-autoencoder: films of ${frames} frames of ${width}×${height} are no whole latents; sides are multiples of ${space}, frames one and multiples of ${time}`,
      )
    const dataset = await filmsOf(data, { seed })
    const params = new Params()
    const { encode, decode } = videoVae(params, config)
    const films = input('films', [batchSize, config.in_channels, frames, height, width])
    const latents = [batchSize, config.latent_channels, 1 + (frames - 1) / time, height / space, width / space]
    const [mean, wide] = encode(films, new FilmMemory()).split(2, 1) as [Tensor, Tensor]
    const logVariance = wide.clip(-30, 20)
    const z = mean.add(logVariance.mul(0.5).exp().mul(input('noise', latents)))
    const made = decode(z, new FilmMemory())
    const l1 = made.sub(films).abs().mean()
    const kl = mean.square().add(logVariance.exp()).sub(1).sub(logVariance).sum([1, 2, 3, 4]).mul(0.5).mean()
    const psnr = made
      .clip(-1, 1)
      .sub(films)
      .square()
      .mean()
      .div(4)
      .log()
      .mul(-10 / Math.LN10)
    const seen = perceptual && compared(perceptual.classifier, made, films)
    const error = seen ? l1.add(seen.mul(perceptual.weight)) : l1
    const loss = error.add(kl.mul(kl_weight / (3 * frames * width * height)))
    const filmsAt = (data: FilmDataset, positions: readonly number[]) =>
      NdArray.concat(positions.map((at) => filmAt(data, at, shape)))

    const withCoder = async <T>(weights: ReadonlyMap<string, NdArray>, use: (coder: VideoCoder) => Promise<T>): Promise<T> => {
      const coder = videoCoder({ className: 'CausalVideoVAE', config, weights }, {})
      try {
        return await use(coder)
      } finally {
        await coder.release()
      }
    }
    const again = async (coder: VideoCoder, film: NdArray<'f32'>) => coder.decode(await coder.encodeMean(film))
    return {
      task: {
        params,
        loss,
        metrics: { psnr, l1, kl, ...(seen && { perceptual: seen }) },
        async batch(generator) {
          const positions = Array.from(generator.randint(0, 2 ** 31, [batchSize]).data, Number)
          return { films: filmsAt(dataset, positions), noise: generator.randn(latents) }
        },
      },
      validation: {
        names: ['psnr_combinations', 'psnr_pictures'],
        measure: (weights) =>
          withCoder(weights, async (coder) => {
            const held = await filmsOf(data, { seed: seed + 1, split: 'combinations' })
            const found = { psnr_combinations: 0, psnr_pictures: 0 }
            const count = 8
            for (const at of positionsFrom(0, count)) {
              const film = filmAt(held, at, shape)
              const picture = film.slice(2, 0, 1)
              found.psnr_combinations += meanPsnr(flatFilm(film), flatFilm(await again(coder, film))) / count
              found.psnr_pictures += meanPsnr(flatFilm(picture), flatFilm(await again(coder, picture))) / count
            }
            return found
          }),
      },
      preview: (weights) =>
        withCoder(weights, async (coder) => {
          const rows: NdArray<'f32'>[] = []
          for (const at of positionsFrom(0, 3)) {
            const film = filmAt(dataset, at, shape)
            for (const one of [film, await again(coder, film)]) rows.push(...everySecond(one))
          }
          return encodePng(imageGrid(rows, { columns: Math.ceil(frames / 2) }))
        }),
      save: (weights, dir) =>
        withCoder(weights, async (coder) => {
          const coded: NdArray<'f32'>[] = []
          for (const at of positionsFrom(0, 64)) coded.push(await coder.encodeMean(filmAt(dataset, at, shape)))
          const scaling_factor = 1 / NdArray.concat(coded).std().item()
          saveModel(dir, { _class_name: 'CausalVideoVAE', ...config, scaling_factor }, weights, { dtype: 'f16' })
        }),
    }
  },
}

/** A film as the networks take it: [1, 3, T, H, W]. */
export const filmAt = (data: FilmDataset, position: number, shape: FilmShape): NdArray<'f32'> => {
  const film = data.framesAt(position, shape)
  return film.permute([1, 0, 2, 3]).reshape([1, 3, shape.frames, shape.height, shape.width]) as NdArray<'f32'>
}

/** All values of a film as one picture's. */
export const flatFilm = (film: NdArray<'f32'>) => film.reshape([1, 1, 1, film.size])

function everySecond(film: NdArray<'f32'>): NdArray<'f32'>[] {
  const [, C, , H, W] = film.shape as [number, number, number, number, number]
  const all = imagesOf(film.permute([0, 2, 1, 3, 4]).reshape([-1, C, H, W]) as NdArray<'f32'>)
  return all.filter((_, t) => t % 2 === 0) as NdArray<'f32'>[]
}

/** How a classifier's layers find two films to differ, in their first, middle and last pictures. */
function compared(classifier: string, made: Tensor, films: Tensor): Tensor {
  const [, , T, H, W] = films.shape as [number, number, number, number, number]
  if (H !== W) throw new ArgumentError('perceptual: the classifier sees squares; give width and height alike, or leave it out')
  const eyes = frozenClassifier(trainedModel(classifier), H)
  const shown = [...new Set([0, (T - 1) >> 1, T - 1])]
  const pictures = (x: Tensor) =>
    concat(
      shown.map((t) => x.slice(2, t, t + 1).squeeze(2)),
      0,
    )
  return perceptualDistance(eyes(pictures(made)).maps, eyes(pictures(films)).maps)
}
