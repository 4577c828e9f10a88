import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readJson } from '../../checkpoints/json.ts'
import { type ComposedScene, type SceneDataset, type SceneSplit, sceneSplits } from '../../data/index.ts'
import { resize } from '../../images/index.ts'
import { loadAutoencoder, loadClip, loadDetector, type SceneDetector, tokenCoder } from '../../pipelines/index.ts'
import type { CompileOptions } from '../../runtime/program.ts'
import { Generator } from '../../runtime/random.ts'
import { recipeFile } from '../../training/history.ts'
import { type ScenesConfig, scenesOf } from '../data.ts'
import { positionsFrom } from '../positions.ts'
import { meanPsnr } from '../tasks/autoencoder/autoencoder.ts'
import { twinsOf } from '../tasks/autoencoder/locality.ts'
import { recallAt1 } from '../tasks/clip.ts'
import { storedDiscreteAutoencoder } from '../tasks/dalle/folder.ts'
import { discreteAutoencoderSchema } from '../tasks/discrete-autoencoder/job.ts'
import { perplexityOf } from '../tasks/discrete-autoencoder/usage.ts'
import { t5RecipeSchema } from '../tasks/t5/t5.ts'
import { toldTokens } from '../tasks/t5/told.ts'
import { bootstrapRates, type Rate } from './bootstrap.ts'
import { measureBounds } from './bounds.ts'
import type { PartQuality } from './part-quality.ts'
import { measurePrior } from './priors.ts'
import { facts, type Rates, ratesOf, scoreScene } from './scoring.ts'

/** The seed of the scenes that parts are measured on, which no training run has. Their objects stand anywhere: no scene comes twice. */
const EVALUATION_SEED = 20_000

const heldOutScenes = (data: ScenesConfig, size: number, split: SceneSplit) =>
  scenesOf(data, { size, seed: EVALUATION_SEED, split })

/** The parts that are measured apart from the whole, by their recipe's type. */
export const partMeasures: Readonly<
  Record<string, (folder: string, num: number, data: ScenesConfig, engine: CompileOptions) => Promise<PartQuality>>
> = {
  autoencoder: measureAutoencoder,
  'discrete-autoencoder': measureDiscrete,
  clip: measureClip,
  t5: measureT5,
  judge: measureJudge,
  'unclip-prior': measurePrior,
  'unclip-ar-prior': measurePrior,
}

/** How well pictures survive, beside a picture made four times smaller and larger again by bicubic kernels. */
async function measureAutoencoder(folder: string, num: number, data: ScenesConfig, engine: CompileOptions): Promise<PartQuality> {
  const coder = loadAutoencoder(folder, engine)
  const size = coder.config.sample_size as number
  const small = size / coder.factor
  const splits = ['phrasings', 'pairs', 'icons'] as const
  const [kept, resized, deviations, changed]: number[][] = [[], [], [], []]
  for (const split of splits) {
    const dataset = await heldOutScenes(data, size, split)
    const batch = await dataset.batch(positionsFrom(0, num))
    const { images } = batch
    const latents = await coder.encode(images)
    const other = twinsOf(batch, dataset.render, new Generator(EVALUATION_SEED), { cells: small, margin: 1 })
    const apart = (await coder.encode(other.twins)).sub(latents).square().mul(other.kept).mean().item()
    changed?.push((100 * apart) / (other.kept.mean().item() * latents.square().mean().item()))
    kept?.push(meanPsnr(images, await coder.decode(latents)))
    const shrunk = resize(images, { width: small, height: small, kernel: 'bicubic' })
    resized?.push(meanPsnr(images, resize(shrunk, { width: size, height: size, kernel: 'bicubic' })))
    deviations?.push(latents.mul(coder.config.scaling_factor).std().item())
  }
  await coder.release()
  return {
    num,
    splits,
    rows: [
      { name: 'signal to noise of reconstructions', unit: 'dB', values: kept ?? [] },
      { name: `of pictures at ${small}×${small}, enlarged again`, unit: 'dB', values: resized ?? [] },
      { name: "the scaled latents' deviation", unit: '', values: deviations ?? [] },
      // In a small picture every cell, or one beside it, may show some of the background.
      ...(changed?.every(Number.isFinite)
        ? [
            {
              name: "what changes in an object's latents with the background around it, of their power",
              unit: '%' as const,
              values: changed,
            },
          ]
        : []),
    ],
  }
}

/** How well pictures survive as tokens, how many codes are in use, and how far relaxed samples are from codes themselves. */
async function measureDiscrete(folder: string, num: number, data: ScenesConfig, engine: CompileOptions): Promise<PartQuality> {
  const dvae = storedDiscreteAutoencoder(folder)
  const coder = tokenCoder(dvae, engine)
  const recipe = existsSync(join(folder, recipeFile)) ? readJson(join(folder, recipeFile)) : {}
  const { resolution: size, least_log_scale: least } = discreteAutoencoderSchema
    .pick({ resolution: true, least_log_scale: true })
    .parse(recipe)
  const splits = ['phrasings', 'pairs', 'icons'] as const
  const [kept, resized, used]: [number[], number[], number[]] = [[], [], []]
  const bounds: Record<string, number>[] = []
  for (const split of splits) {
    const { images } = await (await heldOutScenes(data, size, split)).batch(positionsFrom(0, num))
    const tokens = await coder.encode(images)
    kept.push(meanPsnr(images, await coder.decode(tokens)))
    const small = size / coder.factor
    const shrunk = resize(images, { width: small, height: small, kernel: 'bicubic' })
    resized.push(meanPsnr(images, resize(shrunk, { width: size, height: size, kernel: 'bicubic' })))
    used.push(perplexityOf(tokens, coder.codes))
    bounds.push(await measureBounds(dvae, images, { seed: EVALUATION_SEED, least, engine }))
  }
  await coder.release()
  const names = Object.keys(bounds[0] ?? {})
  return {
    num,
    splits,
    rows: [
      { name: 'signal to noise of reconstructions', unit: 'dB', values: kept },
      { name: `of pictures at ${size / coder.factor}×${size / coder.factor}, enlarged again`, unit: 'dB', values: resized },
      { name: `perplexity of the ${coder.codes} codes`, unit: '', values: used },
      ...names.map((name) => ({ name, unit: 'nats' as const, values: bounds.map((of) => of[name] as number) })),
    ],
  }
}

/** A share of pictures. */
const shareOf = (right: number, asked: number): Rate =>
  bootstrapRates(
    ['all'],
    positionsFrom(0, asked).map((i) => ({ all: { right: Number(i < right), asked: 1 } })),
    new Generator(0),
  ).all

async function measureClip(folder: string, num: number, data: ScenesConfig, engine: CompileOptions): Promise<PartQuality> {
  const model = loadClip(folder, engine)
  const count = Math.max(64, num - (num % 64))
  const splits = ['phrasings', 'pairs', 'grounds'] as const
  const found: Rate[] = []
  for (const split of splits) {
    const dataset: SceneDataset = await heldOutScenes(data, model.config.vision_config.image_size, split)
    found.push(shareOf(Math.round(count * (await recallAt1(model, dataset, count))), count))
  }
  await model.release()
  return {
    num: count,
    splits,
    rows: [{ name: 'the own caption is first of 64 (chance 1.6 %)', unit: 'share', values: found }],
  }
}

/** How often a T5 tells the tokens that were cut out of captions, beside always guessing the commonest of those. */
async function measureT5(folder: string, num: number, data: ScenesConfig, engine: CompileOptions): Promise<PartQuality> {
  const recipe = t5RecipeSchema.parse(readJson(join(folder, recipeFile)))
  const splits = ['phrasings', 'pairs', 'grounds'] as const
  const told: Rate[] = []
  const guessed: Rate[] = []
  const losses: number[] = []
  for (const split of splits) {
    const dataset = await heldOutScenes(data, 1, split)
    const texts = positionsFrom(0, num).map((position) => dataset.captionAt(position).text)
    const { right, common, asked, loss } = await toldTokens(folder, texts, recipe, engine)
    told.push(shareOf(right, asked))
    guessed.push(shareOf(common, asked))
    losses.push(loss)
  }
  return {
    num,
    splits,
    rows: [
      { name: 'a token that was cut out is told', unit: 'share', values: told },
      { name: 'the commonest token is guessed always', unit: 'share', values: guessed },
      { name: 'cross-entropy of what was cut out', unit: 'nats', values: losses },
    ],
  }
}

async function measureJudge(folder: string, num: number, data: ScenesConfig, engine: CompileOptions): Promise<PartQuality> {
  const judge = loadDetector(folder, engine)
  const splits = sceneSplits.filter((split) => split !== 'icons' && split !== 'train')
  const each: Rates[] = []
  for (const split of splits) each.push(await judged(judge, await heldOutScenes(data, judge.config.sample_size, split), num))
  await judge.release()
  return { num, splits, rows: facts.map((name) => ({ name, unit: 'share', values: each.map((rates) => rates[name]) })) }
}

/** What a judge finds in real pictures of what their captions say. */
async function judged(judge: SceneDetector, dataset: SceneDataset, num: number): Promise<Rates> {
  const { images, scenes, details } = await dataset.batch(positionsFrom(0, num))
  const { found } = await judge.detect(images)
  return ratesOf(found.map((finding, i) => scoreScene(scenes[i] as ComposedScene, details[i]?.described, finding)))
}
