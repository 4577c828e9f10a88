import { cpSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { loadConfig, saveConfig, saveModel, writeModelIndex } from '../../checkpoints/index.ts'
import { ArgumentError } from '../../core/errors.ts'
import { input } from '../../core/tensor.ts'
import { type SceneDataset, sampleBatch } from '../../data/index.ts'
import { alphasCumprod, betaSchedule, type SchedulerConfig } from '../../diffusion/index.ts'
import { clipPixels } from '../../models/clip/index.ts'
import { type PriorConfig, priorConfig, priorTransformer } from '../../models/unclip/index.ts'
import { Params } from '../../nn/params.ts'
import { likeliest, modelFolder, workingPrior } from '../../pipelines/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import type { Weights } from '../../runtime/weights.ts'
import { scenesOf, scenesSchema } from '../data.ts'
import { trainingScenes } from '../held-out.ts'
import { positionsFrom } from '../positions.ts'
import type { RecipeType } from '../recipe.ts'
import { type ClipEmbedder, openClipEmbedder } from './clip-embedder.ts'

/** The prior of DALL·E 2 for a CLIP of scenes. Fields of the network are diffusers'; its widths come from the CLIP. */
export const unclipPriorSchema = z.object({
  data: scenesSchema,
  /** The CLIP whose embeddings are drawn: its folder, or the name of a bundled one. */
  clip: z.string(),
  prior: z.record(z.string(), z.unknown()).default({}),
  /** The share of captions that become empty, which guidance needs. */
  text_drop: z.number().min(0).lt(1).default(0.1),
  /** Pictures whose embeddings' mean and deviation are taken out. */
  pool: z.int().min(2).default(1024),
})

/** As Karlo's: what is drawn is the embedding itself, held within five deviations. */
export const priorScheduler: SchedulerConfig = {
  _class_name: 'UnCLIPScheduler',
  variance_type: 'fixed_small_log',
  prediction_type: 'sample',
  clip_sample: true,
  clip_sample_range: 5,
  num_train_timesteps: 1000,
}

/** The diffusion prior: Ramesh et al. 2022, section 2.2, whose network predicts the embedding and not its noise. */
export const unclipPriorType: RecipeType<typeof unclipPriorSchema> = {
  name: 'unclip-prior',
  summary: "pictures' embeddings from captions",
  schema: unclipPriorSchema,
  training: { train_batch_size: 128, learning_rate: 1e-3, lr_warmup_steps: 200, adam_weight_decay: 0.01, ema_decay: 0.999 },
  async job({ data, clip: name, prior, text_drop: drop, pool }, { batchSize, seed }) {
    const folder = modelFolder(name)
    const clip = await openClipEmbedder(folder)
    const dataset = await trainingScenes(data, { size: clip.side, seed })
    const config = priorConfigOf(prior, clip)
    const { mean, std } = await statisticsOf(clip, dataset, pool)
    const params = Params.frozen(
      new Map([
        ['clip_mean', mean],
        ['clip_std', std],
      ]),
    )
    const { predict } = priorTransformer(params, config)
    const [B, D, M] = [batchSize, clip.width, clip.length]
    const made = predict(input('sample', [B, D]), input('timestep', [B]), {
      textEmbeds: input('textEmbeds', [B, D]),
      context: input('context', [B, M, D]),
      contextMask: input('contextMask', [B, M]),
    })
    const bars = alphasCumprod(betaSchedule('squaredcos_cap_v2', { steps: 1000 }))
    return {
      task: {
        params,
        loss: made
          .sub(input('target', [B, D]))
          .square()
          .mean(),
        async batch(generator) {
          const { images, captions } = await sampleBatch(dataset, generator, batchSize)
          const target = (await clip.pictures(images)).sub(mean).div(std).cast('f32')
          const kept = generator.rand([B]).data
          const texts = await clip.texts(captions.map((caption, i) => ((kept[i] as number) < drop ? '' : caption)))
          const timestep = generator.rand([B]).map((u) => Math.min(999, Math.floor(u * 1000)))
          const level = (f: (bar: number) => number) => timestep.map((t) => f(bars[t] as number)).reshape([B, 1])
          const noise = generator.randn([B, D])
          const sample = target.mul(level(Math.sqrt)).add(noise.mul(level((bar) => Math.sqrt(1 - bar))))
          return { sample: sample.cast('f32'), timestep: timestep.cast('f32'), target, ...texts }
        },
      },
      validation: {
        names: ['cos_prior', 'cos_text'],
        async measure(weights) {
          const all = new Map([...weights, ['clip_mean', mean] as const, ['clip_std', std] as const])
          return measured({ clip, config, weights: all }, await scenesOf(data, { size: clip.side, seed: seed + 1 }))
        },
      },
      save(weights, dir) {
        savePrior(dir, { config, clip, folder, weights: new Map([...weights, ['clip_mean', mean], ['clip_std', std]]) })
      },
    }
  },
}

/** @throws ArgumentError for a CLIP whose texts' states are not as wide as its embeddings, as the network needs them */
function priorConfigOf(fields: Record<string, unknown>, clip: ClipEmbedder): PriorConfig {
  sameWidths(clip)
  return priorConfig({ ...fields, embedding_dim: clip.width, num_embeddings: clip.length }, 'prior')
}

export function sameWidths({ width, states, place }: ClipEmbedder): void {
  if (states !== width)
    throw new ArgumentError(
      `${place}: its texts have states of ${states} channels and embeddings of ${width}; a prior needs both alike: train a CLIP whose hidden_size is its projection_dim`,
    )
}

/** Mean [1, D], and one deviation for all channels, of the first pictures' embeddings. */
async function statisticsOf(clip: ClipEmbedder, dataset: SceneDataset, pool: number) {
  const found: NdArray[] = []
  for (let from = 0; from < pool; from += CROWD)
    found.push(await clip.pictures((await dataset.batch(positionsFrom(from, Math.min(CROWD, pool - from)))).images))
  const all = NdArray.concat(found)
  const mean = all.mean({ axes: [0], keep: true }).cast('f32')
  const deviation = Math.sqrt(all.sub(mean).square().mean().item())
  return { mean, std: NdArray.full([1, clip.width], deviation) }
}

const CROWD = 64

interface Trained {
  readonly clip: ClipEmbedder
  readonly config: PriorConfig
  readonly weights: Weights
}

/** Mean cosine to a picture's embedding of what the prior draws for its caption, two drawn and the likelier kept, and of the caption's own. */
async function measured({ clip, config, weights }: Trained, dataset: SceneDataset, count = 32): Promise<Record<string, number>> {
  const { images, captions } = await dataset.batch(positionsFrom(0, count))
  const pictures = await clip.pictures(images)
  const prior = workingPrior(
    { className: 'PriorTransformer', config, weights, place: 'prior', version: undefined },
    priorScheduler,
    { threads: 1 },
  )
  const sums = { cos_prior: 0, cos_text: 0 }
  for (const [i, caption] of captions.entries()) {
    const own = await clip.texts([caption])
    const empty = await clip.texts([''])
    const run = { guidance: 2, steps: 8, generators: [new Generator(i)] }
    const sampling = prior.sample({ ...run, texts: [own, own], from: [empty, empty] })
    let next = await sampling.next()
    while (!next.done) next = await sampling.next()
    const picture = pictures.slice(0, i, i + 1)
    sums.cos_prior += cosine(likeliest(next.value, own.textEmbeds), picture) / count
    sums.cos_text += cosine(own.textEmbeds, picture) / count
  }
  await prior.release()
  return sums
}

export const cosine = (a: NdArray, b: NdArray): number => a.dot(b) / Math.sqrt(a.dot(a) * b.dot(b))

/** A folder that `langevin generate` and diffusers' `KandinskyV22PriorPipeline` open: the prior, and both halves of the CLIP. */
function savePrior(dir: string, { clip, config, folder, weights }: Trained & { readonly folder: string }): void {
  const half = { dtype: 'f16' } as const
  saveModel(join(dir, 'prior'), { _class_name: 'PriorTransformer', ...config }, weights, half)
  const { text, vision } = clip.stored
  saveModel(join(dir, 'text_encoder'), { architectures: ['CLIPTextModelWithProjection'], ...text.config }, text.weights, half)
  saveModel(
    join(dir, 'image_encoder'),
    { architectures: ['CLIPVisionModelWithProjection'], ...vision.config },
    vision.weights,
    half,
  )
  saveConfig(join(dir, 'scheduler'), { ...priorScheduler }, 'scheduler_config.json')
  for (const file of ['vocab.json', 'merges.txt', 'special_tokens_map.json'])
    if (existsSync(join(folder, file))) cpSync(join(folder, file), join(dir, 'tokenizer', file))
  const fields = loadConfig(folder, 'tokenizer_config.json')
  saveConfig(join(dir, 'tokenizer'), { ...fields, model_max_length: clip.length }, 'tokenizer_config.json')
  const preparation = {
    image_processor_type: 'CLIPImageProcessor',
    crop_size: { height: clip.side, width: clip.side },
    size: { shortest_edge: clip.side },
    image_mean: [...clipPixels.mean],
    image_std: [...clipPixels.std],
    resample: 3,
  }
  saveConfig(join(dir, 'image_processor'), preparation, 'preprocessor_config.json')
  const of = (library: string, className: string) => ({ library, className })
  writeModelIndex(dir, {
    _class_name: 'KandinskyV22PriorPipeline',
    components: new Map([
      ['prior', of('diffusers', 'PriorTransformer')],
      ['text_encoder', of('transformers', 'CLIPTextModelWithProjection')],
      ['image_encoder', of('transformers', 'CLIPVisionModelWithProjection')],
      ['tokenizer', of('transformers', 'CLIPTokenizer')],
      ['scheduler', of('diffusers', 'UnCLIPScheduler')],
      ['image_processor', of('transformers', 'CLIPImageProcessor')],
    ]),
    options: {},
  })
}
