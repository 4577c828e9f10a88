import { join } from 'node:path'
import { saveModel, writeSafetensors } from '../../checkpoints/index.ts'
import { input } from '../../core/tensor.ts'
import { type SceneDataset, sampleBatch } from '../../data/index.ts'
import {
  autoregressivePrior,
  autoregressivePriorConfig,
  codesLoss,
  embeddingToCodes,
  fitEmbeddingCodes,
} from '../../models/unclip/index.ts'
import { Params } from '../../nn/params.ts'
import { autoregressiveSampler, modelFolder } from '../../pipelines/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { scenesOf } from '../data.ts'
import { trainingScenes } from '../held-out.ts'
import { positionsFrom } from '../positions.ts'
import type { RecipeType } from '../recipe.ts'
import { type ClipEmbedder, openClipEmbedder } from './clip-embedder.ts'
import { cosine, sameWidths, unclipPriorSchema } from './unclip-prior.ts'

/** The autoregressive prior for a CLIP of scenes: fields of the network beside those that the CLIP decides. */
export const unclipArPriorSchema = unclipPriorSchema

/** The autoregressive prior: Ramesh et al. 2022, section 2.2, on principal components in buckets. */
export const unclipArPriorType: RecipeType<typeof unclipArPriorSchema> = {
  name: 'unclip-ar-prior',
  summary: "pictures' embeddings from captions, a token after another",
  schema: unclipArPriorSchema,
  training: { train_batch_size: 128, learning_rate: 1e-3, lr_warmup_steps: 200, adam_weight_decay: 0.01, ema_decay: 0.999 },
  async job({ data, clip: name, prior, text_drop: drop, pool }, { batchSize, seed }) {
    const clip = await openClipEmbedder(modelFolder(name))
    sameWidths(clip)
    const dataset = await trainingScenes(data, { size: clip.side, seed })
    const sized = { embedding_dim: clip.width, num_embeddings: clip.length, components: Math.min(64, clip.width), buckets: 128 }
    const config = autoregressivePriorConfig({ ...sized, ...prior }, 'prior')
    const { components: K, likeness_buckets: levels } = config
    const { embeds, texts } = await pooled(clip, dataset, pool)
    const codes = fitEmbeddingCodes(embeds, { components: K, buckets: config.buckets })
    const likenessOf = likenessBuckets(embeds, texts, levels)
    const params = new Params()
    const network = autoregressivePrior(params, config)
    const [B, D, M] = [batchSize, clip.width, clip.length]
    const target = input('codes', [B, K], 'i64')
    const logits = network(target, {
      textEmbeds: input('textEmbeds', [B, D]),
      context: input('context', [B, M, D]),
      contextMask: input('contextMask', [B, M]),
      likeness: input('likeness', [B], 'i64'),
    })
    return {
      task: {
        params,
        loss: codesLoss(logits, target),
        async batch(generator) {
          const { images, captions } = await sampleBatch(dataset, generator, batchSize)
          const pictures = await clip.pictures(images)
          const kept = generator.rand([B]).data
          const all = await clip.texts(captions)
          const seen = await clip.texts(captions.map((caption, i) => ((kept[i] as number) < drop ? '' : caption)))
          return { codes: embeddingToCodes(pictures, codes), likeness: likenessOf(pictures, all.textEmbeds), ...seen }
        },
      },
      validation: {
        names: ['cos_prior', 'cos_text'],
        async measure(weights) {
          const sampler = autoregressiveSampler({ config, weights, codes }, { threads: 1 })
          const count = 16
          const { images, captions } = await (await scenesOf(data, { size: clip.side, seed: seed + 1 })).batch(
            positionsFrom(0, count),
          )
          const pictures = await clip.pictures(images)
          const sums = { cos_prior: 0, cos_text: 0 }
          for (const [i, caption] of captions.entries()) {
            const text = await clip.texts([caption])
            const made = await sampler.sample({ text, generator: new Generator(i), likeness: levels - 1, temperature: 0.5 })
            sums.cos_prior += cosine(made, pictures.slice(0, i, i + 1)) / count
            sums.cos_text += cosine(text.textEmbeds, pictures.slice(0, i, i + 1)) / count
          }
          await sampler.release()
          return sums
        },
      },
      save(weights, dir) {
        saveModel(join(dir, 'prior'), { _class_name: 'AutoregressivePrior', ...config }, weights, { dtype: 'f16' })
        const { mean, axes, low, high } = codes
        writeSafetensors(join(dir, 'prior', 'codes.safetensors'), Object.entries({ mean, axes, low, high }))
      },
    }
  },
}

/** Embeddings of the first pictures, and of their captions: [pool, D] each. */
async function pooled(clip: ClipEmbedder, dataset: SceneDataset, pool: number) {
  const [embeds, texts]: [NdArray<'f32'>[], NdArray<'f32'>[]] = [[], []]
  for (let from = 0; from < pool; from += 64) {
    const { images, captions } = await dataset.batch(positionsFrom(from, Math.min(64, pool - from)))
    embeds.push(await clip.pictures(images))
    texts.push((await clip.texts(captions)).textEmbeds)
  }
  return { embeds: NdArray.concat(embeds), texts: NdArray.concat(texts) }
}

/** Cosines of pictures and their texts in as many buckets, of which each holds as much of the pool: [N, D] twice → i64 [N]. */
function likenessBuckets(embeds: NdArray, texts: NdArray, levels: number) {
  const cosines = (a: NdArray, b: NdArray) =>
    Array.from({ length: a.shape[0] as number }, (_, i) => cosine(a.slice(0, i, i + 1), b.slice(0, i, i + 1)))
  const known = cosines(embeds, texts).sort((a, b) => a - b)
  const edges = Array.from({ length: levels - 1 }, (_, k) => known[Math.floor(((k + 1) * known.length) / levels)] as number)
  return (a: NdArray, b: NdArray) => {
    const found = cosines(a, b).map((value) => edges.filter((edge) => value >= edge).length)
    return new NdArray(BigInt64Array.from(found, BigInt), [found.length], 'i64')
  }
}
