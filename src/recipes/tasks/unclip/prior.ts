import { z } from 'zod'
import { input } from '../../../core/tensor.ts'
import { alphasCumprod, betaSchedule, type SchedulerConfig } from '../../../diffusion/index.ts'
import { type PriorConfig, priorConfig, priorTransformer } from '../../../models/unclip/index.ts'
import { Params } from '../../../nn/params.ts'
import { modelFolder, workingPrior } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import type { CompileOptions } from '../../../runtime/program.ts'
import { Generator } from '../../../runtime/random.ts'
import type { Weights } from '../../../runtime/weights.ts'
import { scenesOf, scenesSchema } from '../../data.ts'
import { positionsFrom } from '../../positions.ts'
import type { RecipeType } from '../../recipe.ts'
import { type ClipEmbedder, openClipEmbedder } from './clip-embedder.ts'
import { embeddedScenes } from './embedded-scenes.ts'
import { savePrior } from './prior-folder.ts'
import { cosine, type EmbeddingDrawer, eachText, priorQuality } from './prior-quality.ts'

/** The prior of DALL·E 2 for a CLIP of scenes. Fields of the network are diffusers'; its widths come from the CLIP. */
export const unclipPriorSchema = z.object({
  data: scenesSchema,
  /** The CLIP whose embeddings are drawn: its folder, or the name of a bundled one. */
  clip: z.string().default('stickers-clip'),
  prior: z.record(z.string(), z.unknown()).default({}),
  /** The share of captions that become empty, which guidance needs. */
  text_drop: z.number().min(0).lt(1).default(0.1),
  /** Scenes that are learnt from, whose embeddings are made once and kept; their mean and deviation are taken out. */
  pool: z.int().min(2).default(8192),
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

/** Pictures that a run is measured on as it goes. */
const MEASURED = 32

/** The diffusion prior: Ramesh et al. 2022, section 2.2, whose network predicts the embedding and not its noise. */
export const unclipPriorType: RecipeType<typeof unclipPriorSchema> = {
  name: 'unclip-prior',
  summary: "pictures' embeddings from captions",
  schema: unclipPriorSchema,
  training: { train_batch_size: 128, learning_rate: 1e-3, lr_warmup_steps: 200, adam_weight_decay: 0.01, ema_decay: 0.999 },
  async job({ data, clip: name, prior, text_drop: drop, pool }, { batchSize, seed }) {
    const folder = modelFolder(name)
    const clip = openClipEmbedder(folder)
    const config = priorConfig({ ...prior, embedding_dim: clip.width, num_embeddings: clip.length }, 'prior')
    const scenes = await embeddedScenes({ data, clip, pool, seed })
    const { mean, std } = statisticsOf(await scenes.first())
    const statistics = [['clip_mean', mean] as const, ['clip_std', std] as const]
    const params = Params.frozen(new Map(statistics))
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
          const { pictures, kept } = await scenes.draw(generator, batchSize, drop)
          const target = pictures.sub(mean).div(std).cast('f32')
          const timestep = generator.rand([B]).map((u) => Math.min(999, Math.floor(u * 1000)))
          const level = (f: (bar: number) => number) => timestep.map((t) => f(bars[t] as number)).reshape([B, 1])
          const noise = generator.randn([B, D])
          const sample = target.mul(level(Math.sqrt)).add(noise.mul(level((bar) => Math.sqrt(1 - bar))))
          return { sample: sample.cast('f32'), timestep: timestep.cast('f32'), target, ...(await clip.texts(kept)) }
        },
      },
      validation: {
        names: ['cos_prior', 'cos_text'],
        async measure(weights) {
          const batch = await (await scenesOf(data, { size: clip.side, seed: seed + 1 })).batch(positionsFrom(0, MEASURED))
          const drawer = await diffusionDrawer({ clip, config, weights: new Map([...weights, ...statistics]) }, { steps: 8 })
          const { prior, text } = await priorQuality(clip, drawer, batch, mean)
          await drawer.release()
          return { cos_prior: prior.cosine, cos_text: text.cosine }
        },
      },
      save(weights, dir) {
        savePrior(dir, {
          ...{ className: 'PriorTransformer', pipeline: 'KandinskyV22PriorPipeline', scheduler: priorScheduler },
          ...{ config, clip, folder, weights: new Map([...weights, ...statistics]) },
        })
      },
    }
  },
}

/** Mean [1, D], and one deviation for all channels, of embeddings [N, D]. */
function statisticsOf(all: NdArray<'f32'>) {
  const mean = all.mean({ axes: [0], keep: true }).cast('f32')
  const deviation = Math.sqrt(all.sub(mean).square().mean().item())
  return { mean, std: NdArray.full([1, all.shape[1] as number], deviation) }
}

interface Trained {
  readonly clip: ClipEmbedder
  readonly config: PriorConfig
  readonly weights: Weights
}

/** Draws two embeddings for each text, all side by side, and keeps the nearer (Ramesh et al. 2022, section 2.2). */
export async function diffusionDrawer(
  { clip, config, weights }: Trained,
  {
    steps,
    guidance = 2,
    seed = 0,
    engine = { threads: 1 },
  }: { steps: number; guidance?: number; seed?: number; engine?: CompileOptions },
): Promise<EmbeddingDrawer> {
  const named = { className: 'PriorTransformer', config, weights, place: 'prior', version: undefined } as const
  const prior = workingPrior(named, priorScheduler, engine)
  const empty = await clip.texts([''])
  return {
    async draw(texts) {
      const each = eachText(texts)
      const all = [...each, ...each]
      const sampling = prior.sample({
        guidance,
        steps,
        generators: [new Generator(seed)],
        texts: all,
        from: all.map(() => empty),
      })
      let next = await sampling.next()
      while (!next.done) next = await sampling.next()
      const drawn = next.value
      const at = (k: number) => drawn.slice(1, k, k + 1).reshape([1, -1])
      const nearer = each.map(({ textEmbeds }, i) => {
        const [a, b] = [at(i), at(i + each.length)]
        return cosine(a, textEmbeds) >= cosine(b, textEmbeds) ? a : b
      })
      return NdArray.concat(nearer)
    },
    release: () => prior.release(),
  }
}
