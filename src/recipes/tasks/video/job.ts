import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ArgumentError } from '../../../core/errors.ts'
import { input, type Tensor } from '../../../core/tensor.ts'
import { encodePng, imageGrid, imagesOf } from '../../../images/index.ts'
import { videoDit } from '../../../models/video-dit/index.ts'
import { Params } from '../../../nn/params.ts'
import { flowTokens, loadPipeline, t5Length } from '../../../pipelines/index.ts'
import { traceTexts } from '../../../pipelines/stable-diffusion-3/texts.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { compile } from '../../../runtime/program.ts'
import { Generator } from '../../../runtime/random.ts'
import { positionsFrom } from '../../positions.ts'
import type { RecipeType } from '../../recipe.ts'
import { inMemory } from '../../stored.ts'
import { noising } from '../rectified-flow/noise.ts'
import { type NoisedFilm, packedFilms } from './batch.ts'
import { filmsOf } from './fields.ts'
import { openVideoParts, saveVideoPipeline } from './parts.ts'
import { filmPools } from './pools.ts'
import { type VideoFlow, videoFlowSchema } from './schema.ts'

/** Rectified flow on latents of films by a diffusion transformer of spacetime patches (Brooks et al. 2024; Zheng et al. 2024). */
export const videoFlowType: RecipeType<typeof videoFlowSchema> = {
  name: 'video-flow',
  summary: 'a diffusion transformer that turns noise into latents of captioned films of any length and size',
  schema: videoFlowSchema,
  training: {
    train_batch_size: 8,
    learning_rate: 5e-4,
    lr_warmup_steps: 100,
    adam_weight_decay: 0.01,
    ema_decay: 0.998,
  },
  async job(recipe, { batchSize, seed }) {
    const parts = openVideoParts(recipe)
    const { clip, t5, network, count } = parts
    const { train_text_encoder: textLearns } = recipe
    const pools = filmPools({ recipe, vae: parts.vae, films: await filmsOf(recipe.data, { seed }), seed })
    const { weightAt, drawTimes } = noising(recipe)
    const steps = recipe.scheduler.num_train_timesteps

    const params = new Params()
    const transformer = videoDit(params, network)
    const denoiserKeys = [...params.tensors.keys()]
    const textStart = inMemory(clip.weights)
    const { context, pooled } = traceTexts([{ config: clip.config, params: textLearns ? params : Params.frozen(textStart) }], {
      config: t5.config,
      params: Params.frozen(inMemory(t5.weights)),
    })(
      {
        clips: [input('tokens0', [batchSize, clip.tokenizer.maxLength], 'i64')],
        t5: input('t5Tokens', [batchSize, t5Length(t5)], 'i64'),
      },
      input('kept', [batchSize, 2]),
    )
    const rows = [batchSize, count]
    const values = network.in_channels * network.patch_size_t * network.patch_size ** 2
    const turns = [...rows, network.attention_head_dim / 2]
    const predicted = transformer(
      {
        tokens: input('x', [...rows, values]),
        time: input('time', rows),
        ...{ cos: input('cos', turns), sin: input('sin', turns), present: input('present', rows) },
      },
      { context, pooled, rate: input('rate', [batchSize]) },
    )
    const each = predicted
      .sub(input('target', [...rows, values]))
      .square()
      .mean(2)
      .mul(input('weight', rows))
      .sum(1)
    const error = each.mean()
    const loss = each.mul(input('scale', [batchSize])).mean()

    const feeds = (films: readonly NoisedFilm[], captions: readonly string[], rates: readonly number[], kept: NdArray) => ({
      ...packedFilms(films, count, steps, network),
      ...flowTokens({ clips: [clip], t5 }, captions),
      rate: NdArray.from([...rates]),
      kept,
    })
    const save = (weights: ReadonlyMap<string, NdArray>, dir: string) => {
      const own = (keys: Iterable<string>) => new Map([...keys].map((key) => [key, weights.get(key) as NdArray]))
      const learnt = textLearns ? { ...clip, weights: own(textStart.keys()) } : clip
      saveVideoPipeline(dir, { ...parts, clip: learnt, transformer: own(denoiserKeys), scheduler: recipe.scheduler })
    }
    return {
      task: {
        params,
        loss,
        metrics: { error },
        start: textLearns ? textStart : new Map(),
        async batch(generator, step) {
          const times = drawTimes(generator, batchSize, step)
          const films: NoisedFilm[] = []
          const [captions, rates]: [string[], number[]] = [[], []]
          for (const time of times) {
            const { clean, caption, rate } = await pools.draw(generator)
            const dropped = generator.rand([1]).item() < recipe.condition_dropout
            films.push({
              ...{ clean, time: time / steps, noise: generator.randn(clean.shape) },
              given: drawGiven(recipe.given, (clean.shape[1] as number) / network.patch_size_t, generator),
            })
            captions.push(dropped ? '' : caption)
            rates.push(rate)
          }
          const kept = generator.rand([batchSize, 2]).map((u) => (u < recipe.encoder_dropout ? 0 : 1))
          const scale = NdArray.from(times.map(weightAt))
          return { ...feeds(films, captions, rates, kept), scale }
        },
      },
      validation: heldOut(),
      preview: (weights) => filmStrips(recipe, (dir) => save(weights, dir)),
      save,
    }

    /** Errors on films that training never shows, at one time, with captions and without. */
    function heldOut() {
      const splits = ['combinations', 'motions'] as const
      return {
        names: splits.flatMap((split) => [`error_${split}`, `untold_${split}`]),
        async measure(weights: ReadonlyMap<string, NdArray>) {
          const program = await compile({ outputs: { error: error as Tensor }, weights })
          const found: Record<string, number> = {}
          for (const split of splits) {
            const data = await filmsOf(recipe.data, { seed: seed + 1, split })
            const positions = positionsFrom(0, batchSize)
            const generator = new Generator(0)
            const latents = await pools.encode(data, positions)
            const films = latents.map((clean) => ({ clean, noise: generator.randn(clean.shape), time: 0.75, given: [] }))
            const rates = positions.map(() => recipe.buckets[0]?.rate as number)
            for (const [name, captions] of [
              ['error', positions.map((at) => data.captionAt(at))],
              ['untold', positions.map(() => '')],
            ] as const) {
              const { error } = await program.run(feeds(films, captions, rates, NdArray.full([batchSize, 2], 1)))
              found[`${name}_${split}`] = error?.item() as number
            }
          }
          await program.release()
          return found
        },
      }
    }
  },
}

/** Which of a film's latent frames are given. Of a picture none are. */
function drawGiven({ first, ends, start }: VideoFlow['given'], frames: number, generator: Generator): number[] {
  const u = generator.rand([1]).item()
  if (first + ends + start > 1) throw new ArgumentError(`given: ${first}, ${ends} and ${start} are more than all films`)
  const some = 1 + Math.floor(generator.rand([1]).item() * Math.max(1, frames - 1))
  if (frames === 1) return []
  if (u < first) return [0]
  if (u < first + ends) return frames > 2 ? [0, frames - 1] : [0]
  return u < first + ends + start ? Array.from({ length: Math.min(some, frames - 1) }, (_, i) => i) : []
}

/** Strips of films of the recipe's prompts, made by the pipeline as it is saved. */
async function filmStrips({ validation_prompts: prompts }: VideoFlow, save: (dir: string) => void): Promise<Uint8Array> {
  const dir = mkdtempSync(join(tmpdir(), 'langevin-video-preview-'))
  try {
    save(dir)
    const pipeline = await loadPipeline(dir)
    const shown: NdArray<'f32'>[] = []
    for (const prompt of prompts) {
      const steps = pipeline.generate({ prompt, steps: 12 })
      let next = await steps.next()
      while (!next.done) next = await steps.next()
      const result = next.value
      if (result.type !== 'frames') continue
      const all = imagesOf(result.frames.reshape(result.frames.shape.slice(1))) as NdArray<'f32'>[]
      shown.push(...Array.from({ length: 8 }, (_, k) => all[Math.round((k * (all.length - 1)) / 7)] as NdArray<'f32'>))
    }
    await pipeline.release()
    return await encodePng(imageGrid(shown, { columns: 8 }))
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
