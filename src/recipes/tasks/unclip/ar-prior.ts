import { join } from 'node:path'
import { writeSafetensors } from '../../../checkpoints/index.ts'
import { input } from '../../../core/tensor.ts'
import {
  type AutoregressivePriorConfig,
  autoregressivePrior,
  autoregressivePriorConfig,
  codesLoss,
  type EmbeddingCodes,
  embeddingToCodes,
  fitEmbeddingCodes,
} from '../../../models/unclip/index.ts'
import { Params } from '../../../nn/params.ts'
import { autoregressiveSampler, codesFile, modelFolder } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import type { CompileOptions } from '../../../runtime/program.ts'
import { Generator } from '../../../runtime/random.ts'
import type { Weights } from '../../../runtime/weights.ts'
import { scenesOf } from '../../data.ts'
import { positionsFrom } from '../../positions.ts'
import type { RecipeType } from '../../recipe.ts'
import { openClipEmbedder } from './clip-embedder.ts'
import { embeddedScenes } from './embedded-scenes.ts'
import { unclipPriorSchema } from './prior.ts'
import { savePrior } from './prior-folder.ts'
import { cosine, type EmbeddingDrawer, eachText, priorQuality } from './prior-quality.ts'

/** The autoregressive prior for a CLIP of scenes: fields of the network beside those that the CLIP decides. */
export const unclipArPriorSchema = unclipPriorSchema

/** Pictures that a run is measured on as it goes, and scenes by which likeness is put into buckets. */
const [MEASURED, LIKENED] = [16, 1024]

/** The autoregressive prior: Ramesh et al. 2022, section 2.2, on principal components in buckets. */
export const unclipArPriorType: RecipeType<typeof unclipArPriorSchema> = {
  name: 'unclip-ar-prior',
  summary: "pictures' embeddings from captions, a token after another",
  schema: unclipArPriorSchema,
  training: { train_batch_size: 128, learning_rate: 1e-3, lr_warmup_steps: 200, adam_weight_decay: 0.01, ema_decay: 0.999 },
  async job({ data, clip: name, prior, text_drop: drop, pool }, { batchSize, seed }) {
    const folder = modelFolder(name)
    const clip = openClipEmbedder(folder)
    const sized = { embedding_dim: clip.width, num_embeddings: clip.length, components: Math.min(64, clip.width), buckets: 128 }
    const config = autoregressivePriorConfig({ ...sized, ...prior }, 'prior')
    const { components: K, likeness_buckets: levels } = config
    const scenes = await embeddedScenes({ data, clip, pool, seed })
    const embeds = await scenes.first()
    const codes = fitEmbeddingCodes(embeds, { components: K, buckets: config.buckets })
    const likened = Math.min(LIKENED, pool)
    const texts = (await clip.texts(scenes.captions(likened))).textEmbeds
    const likenessOf = likenessBuckets(embeds.slice(0, 0, likened), texts, levels)
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
          const { pictures, captions, kept } = await scenes.draw(generator, batchSize, drop)
          const all = await clip.texts(captions)
          const seen = drop > 0 ? await clip.texts(kept) : all
          return { codes: embeddingToCodes(pictures, codes), likeness: likenessOf(pictures, all.textEmbeds), ...seen }
        },
      },
      validation: {
        names: ['cos_prior', 'cos_text'],
        async measure(weights) {
          const batch = await (await scenesOf(data, { size: clip.side, seed: seed + 1 })).batch(positionsFrom(0, MEASURED))
          const drawer = autoregressiveDrawer({ config, weights, codes })
          const { prior, text } = await priorQuality(clip, drawer, batch, codes.mean)
          await drawer.release()
          return { cos_prior: prior.cosine, cos_text: text.cosine }
        },
      },
      save(weights, dir) {
        savePrior(dir, {
          ...{ className: 'AutoregressivePrior', pipeline: 'AutoregressivePriorPipeline' },
          ...{ config, clip, folder, weights },
        })
        const { mean, axes, low, high } = codes
        writeSafetensors(join(dir, 'prior', codesFile), Object.entries({ mean, axes, low, high }))
      },
    }
  },
}

interface Trained {
  readonly config: AutoregressivePriorConfig
  readonly weights: Weights
  readonly codes: EmbeddingCodes
}

/** Draws one embedding for each text, asked to be as like it as any of training was. */
export function autoregressiveDrawer(
  trained: Trained,
  { temperature = 0.5, seed = 0, engine = { threads: 1 } }: { temperature?: number; seed?: number; engine?: CompileOptions } = {},
): EmbeddingDrawer {
  const sampler = autoregressiveSampler(trained, engine)
  const likeness = trained.config.likeness_buckets - 1
  return {
    async draw(texts) {
      const made: NdArray<'f32'>[] = []
      for (const [i, text] of eachText(texts).entries())
        made.push(await sampler.sample({ text, generator: new Generator(seed + i), likeness, temperature }))
      return NdArray.concat(made)
    },
    release: () => sampler.release(),
  }
}

/** Cosines of pictures and their texts in as many buckets, of which each holds as much of the data: [N, D] twice → i64 [N]. */
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
