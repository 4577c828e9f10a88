import { join } from 'node:path'
import { z } from 'zod'
import { loadConfig } from '../../../checkpoints/index.ts'
import { input } from '../../../core/tensor.ts'
import { encodePng, imageGrid } from '../../../images/index.ts'
import { unclipTextConfig, unclipTextProjection } from '../../../models/unclip/index.ts'
import { unet2dCondition, unet2dConditionConfig } from '../../../models/unet-condition/index.ts'
import { Params } from '../../../nn/params.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { scenesSchema } from '../../data.ts'
import { heldOutSet, trainingScenes } from '../../held-out.ts'
import type { RecipeType } from '../../recipe.ts'
import { checkOneOf, trainedModel } from '../../stored.ts'
import { picturesBy } from '../cascade/preview.ts'
import { latentPool } from '../latents/pool.ts'
import { noising } from '../text-to-image/noise.ts'
import { schedulerOf, storedAutoencoder } from '../text-to-image/pipeline-folder.ts'
import { checkBiases, noiseFields } from '../text-to-image/schema.ts'
import { openClipEmbedder } from './clip-embedder.ts'
import { decoderStart, saveDecoder, scopes } from './decoder-folder.ts'
import { embeddedScenes } from './embedded-scenes.ts'

const share = z.number().min(0).lt(1)

/** The decoder of DALL·E 2 in latents. Fields of the network and the scheduler are diffusers'. */
export const unclipDecoderSchema = z.object({
  data: scenesSchema,
  resolution: z.int().positive().default(64),
  /** Folder or name of the autoencoder, and of the CLIP whose embeddings are decoded; both are trained before. */
  vae: z.string().default('stickers-vae'),
  clip: z.string().default('stickers-clip'),
  /** The network, where it does not come with a `pretrained` pipeline. */
  decoder: z.record(z.string(), z.unknown()).optional(),
  /** A Stable Diffusion of the same latents, by its folder or name, whose U-Net goes on with an embedding beside the text. */
  pretrained: z.string().optional(),
  /** Tokens that an embedding becomes, before the text's. */
  tokens: z.int().positive().default(4),
  /** The share of embeddings in whose place the learned one stands, and of captions that become empty (Ramesh et al. 2022, section 2.1). */
  embedding_drop: share.default(0.1),
  text_drop: share.default(0.5),
  ...noiseFields,
  /** Scenes whose latents and embeddings are made once and kept. */
  pool: z.int().positive().default(8192),
  /** A trained diffusion prior that the folder is to have, by its folder or name. */
  prior: z.string().optional(),
})

/**
 * The decoder of unCLIP (Ramesh et al. 2022, section 2.1), in latents of an autoencoder: a picture's embedding is added to the time and
 * attended to as tokens before the text's.
 */
export const unclipDecoderType: RecipeType<typeof unclipDecoderSchema> = {
  name: 'unclip-decoder',
  summary: "pictures from CLIP's embeddings of them",
  schema: unclipDecoderSchema,
  training: { train_batch_size: 48, learning_rate: 5e-4, lr_warmup_steps: 50, adam_weight_decay: 0.01, ema_decay: 0.995 },
  async job(recipe, { batchSize, seed, preview }) {
    const { data, resolution: size, pool, decoder, pretrained } = recipe
    checkOneOf('unclip-decoder', { decoder, pretrained })
    checkBiases(recipe)
    const vae = storedAutoencoder(trainedModel(recipe.vae))
    const folder = trainedModel(recipe.clip)
    const clip = openClipEmbedder(folder)
    const before = pretrained === undefined ? undefined : join(trainedModel(pretrained), 'unet')
    const prior = recipe.prior === undefined ? undefined : trainedModel(recipe.prior)
    const channels = { in_channels: vae.config.latent_channels, out_channels: vae.config.latent_channels }
    const side = size / 2 ** (vae.config.block_out_channels.length - 1)
    const network = unet2dConditionConfig(
      { ...channels, ...(before ? loadConfig(before) : decoder), sample_size: side, class_embed_type: 'identity' },
      before ?? 'decoder',
    )
    const [B, D, M] = [batchSize, clip.width, clip.length]
    const projection = unclipTextConfig({
      ...{ clip_extra_context_tokens: recipe.tokens, clip_embeddings_dim: D, cross_attention_dim: network.cross_attention_dim },
      time_embed_dim: network.time_embedding_dim ?? 4 * (network.block_out_channels[0] as number),
    })
    const scenes = await embeddedScenes({ data, clip, pool, seed })
    const pictures = size === clip.side ? scenes.dataset : await trainingScenes(data, { size, seed })
    const images = async (positions: readonly number[]) => (await pictures.batch(positions)).images
    const latents = latentPool({ images, vae, count: pool, stamp: { data, size, seed } })
    const { noised, weightAt, drawTimes } = noising(recipe)

    const params = new Params()
    const { project, unconditional } = unclipTextProjection(params.at(scopes.projection), projection)
    const told = input('embedsTold', [B, 1])
    const embeds = input('embeds', [B, D])
      .mul(told)
      .add(unconditional.mul(told.neg().add(1)))
    const { context, time } = project(embeds, input('textEmbeds', [B, D]), input('context', [B, M, D]))
    const shape = [B, network.in_channels, side, side]
    const predicted = unet2dCondition(params.at(scopes.decoder), network)(input('x', shape), input('t', [B]), context, {
      classLabels: time,
    })
    const errors = predicted.sub(input('target', shape)).square().mean([1, 2, 3])
    const save = (weights: ReadonlyMap<string, NdArray>, dir: string) =>
      saveDecoder(dir, { network, projection, weights, vae, clip, folder, prior, scheduler: schedulerOf(recipe.scheduler) })

    return {
      task: {
        params,
        loss: errors.mul(input('weight', [B])).mean(),
        metrics: { error: errors.mean() },
        ...(before && { start: decoderStart(before, params) }),
        async batch(generator, step) {
          const { positions, kept, pictures: embeds } = await scenes.draw(generator, B, recipe.text_drop)
          const { textEmbeds, context } = await clip.texts(kept)
          const times = drawTimes(generator, B, step)
          return {
            ...{ embeds, textEmbeds, context },
            embedsTold: generator.rand([B, 1]).map((u) => Number(u >= recipe.embedding_drop)),
            ...noised(await latents(positions), generator.randn(shape), times),
            weight: NdArray.from(times.map(weightAt)),
          }
        },
      },
      /** Held-out pictures above what is made of their embeddings alone. */
      async preview(weights) {
        const count = Math.min(preview?.num ?? 8, 32)
        const { scenes, render } = await heldOutSet(data, 'validation', { size, count })
        const real = render(scenes)
        const steps = Math.min(preview?.steps ?? 20, recipe.scheduler.num_train_timesteps)
        const made = await picturesBy((dir) => save(weights, dir), real, { steps, seed: 0 })
        return encodePng(imageGrid(NdArray.concat([real, made]), { columns: count }))
      },
      save,
    }
  },
}
