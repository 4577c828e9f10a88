import { type SceneDataset, type SceneSplit, type StickerScene, sceneSplits } from '../../data/index.ts'
import { resize } from '../../images/index.ts'
import type { AutoencoderKLConfig } from '../../models/vae/index.ts'
import {
  createPromptBatches,
  type Finding,
  loadAutoencoder,
  loadClip,
  loadDetector,
  openComponents,
  partsOf,
  type SceneDetector,
} from '../../pipelines/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { CompileOptions } from '../../runtime/program.ts'
import { Generator } from '../../runtime/random.ts'
import { type ScenesConfig, scenesOf } from '../data.ts'
import { positionsFrom } from '../positions.ts'
import { trainedModel } from '../stored.ts'
import { meanPsnr } from '../tasks/autoencoder/autoencoder.ts'
import { twinsOf } from '../tasks/autoencoder/locality.ts'
import { recallAt1 } from '../tasks/clip.ts'
import { fitGaussian, frechetTo } from './frechet.ts'
import { type Distance, distanceWithError } from './quality.ts'
import { emptyTally, type Fact, facts, type Rate, rateOf, scoreScene } from './scoring.ts'

/** The seed of the scenes that models are measured on, which no training run has. */
const EVALUATION_SEED = 20_000

/** How often pictures show what captions say. */
export interface SceneScores {
  readonly name: string
  readonly rates: Readonly<Record<Fact, Rate>>
}

/** What a strength of guidance does. */
export interface GuidancePoint {
  readonly guidance: number
  readonly rates: Readonly<Record<Fact, Rate>>
  /** The mean distance of features between two pictures of one caption. */
  readonly diversity: number
}

export interface TextToImageQuality {
  readonly captions: number
  readonly scores: readonly SceneScores[]
  readonly sweep: readonly GuidancePoint[]
  /** Squared Fréchet distances in the judge's features to real pictures. */
  readonly distances: readonly ({ readonly name: string } & Distance)[]
  readonly dimension: number
  /** Of real pictures' latents, as the denoiser takes them. */
  readonly latentDeviation: number
}

export interface SceneQualityOptions {
  /** Held-out captions. */
  readonly captions: number
  readonly steps: number
  readonly guidance: number
  /** Strengths of guidance that are compared. */
  readonly sweep: readonly number[]
  readonly seed: number
  readonly batch: number
  /** The folder or name of the judge. */
  readonly judge: string
}

export interface SceneQualityContext {
  readonly name: string
  readonly data: ScenesConfig
  readonly engine?: CompileOptions
  readonly signal?: AbortSignal | undefined
  readonly onStep?: ((step: { stage: string; done: number; total: number }) => void) | undefined
}

const heldOutScenes = (data: ScenesConfig, size: number, split: SceneSplit) =>
  scenesOf(data, { size, seed: EVALUATION_SEED, split })

/**
 * Measures a text-to-image model by a judge that learnt from rendered scenes alone: what of 500 held-out captions its pictures
 * show, beside real pictures and beside captions of other pictures; the same of pairs of objects that training never showed
 * together; what guidance does; how far its pictures lie from real ones, beside others real and beside what the autoencoder makes
 * of them.
 *
 * @returns the numbers; the pictures of the held-out captions, with the captions and what the judge found
 */
export async function measureTextToImage(
  folder: string,
  options: SceneQualityOptions,
  { name, data, engine = {}, signal, onStep }: SceneQualityContext,
) {
  const { captions: count, steps, seed, guidance, sweep, batch } = options
  const parts = partsOf(await openComponents(folder))
  const judge = loadDetector(trainedModel(options.judge), engine)
  const sampler = createPromptBatches(parts, { batch, ...engine })
  const positions = positionsFrom(0, count)
  const sets = {
    phrasings: await (await heldOutScenes(data, parts.size, 'phrasings')).batch(positions),
    pairs: await (await heldOutScenes(data, parts.size, 'pairs')).batch(positions),
  }
  const draw = (captions: readonly string[], strength: number, from: number, stage: string) =>
    sampler.generate(captions, {
      steps,
      guidance: strength,
      seed: from,
      signal,
      onPictures: (done, total) => onStep?.({ stage, done, total }),
    })
  type Set = (typeof sets)['phrasings']
  const rates = (found: readonly Finding[], { scenes, told }: Set, shift = 0) => {
    const tally = emptyTally()
    for (const [i, finding] of found.entries()) {
      const of = (i + shift) % found.length
      scoreScene(tally, scenes[of] as StickerScene, told[of]?.told, finding)
    }
    return Object.fromEntries(facts.map((fact) => [fact, rateOf(tally[fact])])) as Record<Fact, Rate>
  }
  try {
    const { captions } = sets.phrasings
    const real = await judge.detect(sets.phrasings.images)
    const made = await draw(captions, guidance, seed, `guidance ${guidance}`)
    const drawn = await judge.detect(made)
    const unseen = await judge.detect(await draw(sets.pairs.captions, guidance, seed + count, 'pairs never seen together'))
    const realPairs = await judge.detect(sets.pairs.images)
    const twice = Math.min(100, count)
    const points: GuidancePoint[] = []
    for (const strength of sweep) {
      const first =
        strength === guidance ? drawn : await judge.detect(await draw(captions, strength, seed, `guidance ${strength}`))
      const second = await judge.detect(
        await draw(captions.slice(0, twice), strength, seed + 2 * count, `guidance ${strength}, other seeds`),
      )
      const diversity = meanDistance(first.features.slice(0, 0, twice), second.features)
      points.push({ guidance: strength, rates: rates(first.found, sets.phrasings), diversity })
    }
    const others = await judge.detect(
      (await (await heldOutScenes(data, parts.size, 'phrasings')).batch(positionsFrom(count, count))).images,
    )
    const latents = await sampler.autoencoder.encode(sets.phrasings.images)
    const coded = await judge.detect(await sampler.autoencoder.decode(latents))
    const to = frechetTo(fitGaussian(others.features))
    const root = new Generator(EVALUATION_SEED)
    const distance = (set: string, features: NdArray<'f32'>) => ({
      name: set,
      ...distanceWithError(to, features, root.fork(set)),
    })
    const quality: TextToImageQuality = {
      captions: count,
      scores: [
        { name: 'real pictures', rates: rates(real.found, sets.phrasings) },
        { name, rates: rates(drawn.found, sets.phrasings) },
        { name: `${name}, captions of other pictures`, rates: rates(drawn.found, sets.phrasings, 1) },
        { name: 'real pictures of pairs never seen together', rates: rates(realPairs.found, sets.pairs) },
        { name: `${name}, pairs never seen together`, rates: rates(unseen.found, sets.pairs) },
      ],
      sweep: points,
      distances: [
        distance('other real pictures', real.features),
        distance('real pictures through the autoencoder', coded.features),
        distance(name, drawn.features),
      ],
      dimension: drawn.features.shape[1] as number,
      latentDeviation: latents
        .mul((parts.vae.config as AutoencoderKLConfig).scaling_factor)
        .std()
        .item(),
    }
    return { quality, made, captions, found: drawn.found, scenes: sets.phrasings.scenes }
  } finally {
    await sampler.release()
    await judge.release()
  }
}

/** The mean distance of rows [N, D] to the same rows of another. */
function meanDistance(a: NdArray<'f32'>, b: NdArray<'f32'>): number {
  return a
    .sub(b)
    .square()
    .sum({ axes: [1] })
    .sqrt()
    .mean()
    .item()
}

/** Numbers of one part of the model, a row each, by the split of the scenes that they are measured on. */
export interface PartQuality {
  readonly num: number
  readonly splits: readonly SceneSplit[]
  /** By what is measured, then by split. */
  readonly rows: readonly {
    readonly name: string
    readonly unit: 'share' | 'dB' | '%' | ''
    readonly values: readonly (number | Rate)[]
  }[]
}

/** The parts that are measured apart from the whole, by their recipe's kind. */
export const partMeasures: Readonly<
  Record<string, (folder: string, num: number, data: ScenesConfig, engine: CompileOptions) => Promise<PartQuality>>
> = { autoencoder: measureAutoencoder, clip: measureClip, judge: measureJudge }

/** How well pictures survive, beside a picture made four times smaller and larger again by bicubic kernels. */
async function measureAutoencoder(folder: string, num: number, data: ScenesConfig, engine: CompileOptions): Promise<PartQuality> {
  const coder = loadAutoencoder(folder, engine)
  const size = coder.config.sample_size as number
  const small = size / coder.factor
  const splits = ['phrasings', 'pairs', 'icons'] as const
  const [kept, resized, deviations, moved]: number[][] = [[], [], [], []]
  for (const split of splits) {
    const dataset = await heldOutScenes(data, size, split)
    const batch = await dataset.batch(positionsFrom(0, num))
    const { images } = batch
    const latents = await coder.encode(images)
    const other = twinsOf(batch, dataset.render, new Generator(EVALUATION_SEED), { cells: small, margin: 1 })
    const apart = (await coder.encode(other.twins)).sub(latents).square().mul(other.kept).mean().item()
    moved?.push((100 * apart) / (other.kept.mean().item() * latents.square().mean().item()))
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
      // Pictures may be too small for a cell that shows nothing of the ground, nor its neighbours.
      ...(moved?.every(Number.isFinite)
        ? [
            {
              name: 'of their power, what changes within an object when the ground around it does',
              unit: '%' as const,
              values: moved,
            },
          ]
        : []),
    ],
  }
}

async function measureClip(folder: string, num: number, data: ScenesConfig, engine: CompileOptions): Promise<PartQuality> {
  const model = loadClip(folder, engine)
  const count = Math.max(64, num - (num % 64))
  const splits = ['phrasings', 'pairs', 'grounds'] as const
  const found: Rate[] = []
  for (const split of splits) {
    const dataset: SceneDataset = await heldOutScenes(data, model.config.vision_config.image_size, split)
    found.push(rateOf({ right: Math.round(count * (await recallAt1(model, dataset, count))), asked: count }))
  }
  await model.release()
  return {
    num: count,
    splits,
    rows: [{ name: 'the own caption is first of 64 (chance 1.6 %)', unit: 'share', values: found }],
  }
}

async function measureJudge(folder: string, num: number, data: ScenesConfig, engine: CompileOptions): Promise<PartQuality> {
  const judge = loadDetector(folder, engine)
  const splits = sceneSplits.filter((split) => split !== 'icons' && split !== 'train')
  const each: Record<Fact, Rate>[] = []
  for (const split of splits) each.push(await judged(judge, await heldOutScenes(data, judge.config.sample_size, split), num))
  await judge.release()
  return { num, splits, rows: facts.map((name) => ({ name, unit: 'share', values: each.map((rates) => rates[name]) })) }
}

/** What a judge finds in real pictures of what their captions say. */
async function judged(judge: SceneDetector, dataset: SceneDataset, num: number): Promise<Record<Fact, Rate>> {
  const tally = emptyTally()
  const { images, scenes, told } = await dataset.batch(positionsFrom(0, num))
  for (const [i, finding] of (await judge.detect(images)).found.entries())
    scoreScene(tally, scenes[i] as StickerScene, told[i]?.told, finding)
  return Object.fromEntries(facts.map((fact) => [fact, rateOf(tally[fact])])) as Record<Fact, Rate>
}

/** Pictures in which a named object is not found, by their places. */
export const missing = (scenes: readonly StickerScene[], found: readonly Finding[]): number[] =>
  found.flatMap(({ objects }, i) => {
    const there = new Set(objects.map(({ name }) => name))
    return scenes[i]?.groups.every(({ noun }) => there.has(noun.icon.name)) ? [] : [i]
  })
