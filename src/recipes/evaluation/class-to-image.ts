import { join } from 'node:path'
import { readJson } from '../../checkpoints/json.ts'
import type { StickerDataset } from '../../data/index.ts'
import { createClassBatches, type Finding, loadDetector } from '../../pipelines/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { recipeFile } from '../../training/history.ts'
import { stickersSchema } from '../data.ts'
import { trainedModel } from '../stored.ts'
import { openPipeline } from '../tasks/class-to-image/folder.ts'
import { classesOf } from '../tasks/class-to-image/job.ts'
import { bootstrapRates, type Count, type Rate } from './bootstrap.ts'
import { fitGaussian, frechetTo } from './frechet.ts'
import { type EvaluateContext, type EvaluateOptions, stepsWithin } from './options.ts'
import { type Distance, distanceWithError } from './quality.ts'
import { asLargeAs } from './text-to-image.ts'

/** What a picture is asked about its class: whether the named sticker is there, in the named style, and both with nothing else there. */
export const classFacts = ['sticker', 'style', 'exact'] as const
export type ClassFact = (typeof classFacts)[number]
export type ClassRates = Readonly<Record<ClassFact, Rate>>

/** How often a set of pictures shows what their classes say. */
export interface ClassScores {
  readonly name: string
  readonly rates: ClassRates
}

export interface ClassToImageEvaluation {
  readonly kind: 'class-to-image'
  readonly model: string
  readonly judge: string
  readonly steps: number
  readonly seed: number
  /** Pictures of each class, and the classes. */
  readonly each: number
  readonly classes: number
  readonly guidance: number
  /** Whether guidance was chosen by `sweep`; else it was given. */
  readonly chosen: boolean
  /** Pictures by which it was chosen. */
  readonly validation: number
  readonly sweep: readonly { readonly guidance: number; readonly rates: ClassRates }[]
  readonly scores: readonly ClassScores[]
  /** Shares of the pictures of one class, the weakest first. */
  readonly byClass: readonly ({ readonly name: string } & Readonly<Record<ClassFact, number>>)[]
  /** Squared Fréchet distances in the judge's features to real pictures. */
  readonly distances: readonly ({ readonly name: string } & Distance)[]
  readonly dimension: number
}

/** Strengths of guidance that are compared. */
const SWEEP = [1, 1.5, 2, 3, 4]

/** Seeds of real pictures that no training run has seen as they are. */
const REAL = 20_000
const OTHERS = 20_001

/**
 * Measures a model of stickers by class by a judge that learnt from rendered scenes alone, at the guidance that was best on pictures of
 * other seeds. Beside it: real pictures, which show the judge's own error; real pictures through the autoencoder, which no model of its
 * latents can surpass; the model's pictures against classes of other pictures, which is chance.
 *
 * @returns the numbers; the pictures with their classes' names, and what the judge found
 */
export async function evaluateClassToImage(
  folder: string,
  { num, validation, seed, batch, guidance: given, judge: judgeName, steps = stepsWithin(folder, 20) }: EvaluateOptions,
  { name, engine = {}, signal, onStep }: EvaluateContext,
) {
  const judge = loadDetector(trainedModel(judgeName), engine)
  const size = judge.config.sample_size
  const data = stickersSchema.parse(readJson(join(folder, recipeFile)).data)
  const [real, others] = await Promise.all([REAL, OTHERS].map((seed) => classesOf(data, { size, seed })))
  const { classes } = real as StickerDataset
  const asked = askedOf(real as StickerDataset)
  const parts = openPipeline(folder)
  const own = parts.transformer.config.sample_size * 2 ** (parts.vae.config.block_out_channels.length - 1)
  const sampler = createClassBatches(parts, { batch: Math.min(batch, 16), ...engine })
  const sample = async (labels: readonly number[], strength: number, from: number, stage: string) => {
    const onPictures = (done: number, total: number) => onStep?.({ stage, done, total })
    const pictures = await sampler.generate(labels, { steps, guidance: strength, seed: from, signal, onPictures })
    return asLargeAs(size, pictures)
  }
  const rates = (found: readonly Finding[], labels: readonly number[], shift = 0): ClassRates => {
    const tallies = found.map((finding, i) => tallyOf(finding, asked[labels[(i + shift) % labels.length] as number] as Asked))
    return bootstrapRates(classFacts, tallies, new Generator(0))
  }
  try {
    const each = Math.max(1, Math.floor(num / classes.length))
    const labels = everyClass(classes.length, each)
    const few = everyClass(classes.length, Math.max(1, Math.floor(validation / classes.length)))
    const points: { guidance: number; rates: ClassRates }[] = []
    for (const strength of given === undefined ? SWEEP : []) {
      const pictures = await sample(few, strength, seed + labels.length, `validation, guidance ${strength}`)
      points.push({ guidance: strength, rates: rates((await judge.detect(pictures)).found, few) })
    }
    const guidance = given ?? (best(points) as number)
    const pictures = await sample(labels, guidance, seed, `test, guidance ${guidance}`)
    const made = await judge.detect(pictures)
    signal?.throwIfAborted()
    const shown = await picturesOf(real as StickerDataset, labels)
    const realFound = await judge.detect(shown)
    const latents = await sampler.autoencoder.encode(asLargeAs(own, shown))
    const coded = await judge.detect(asLargeAs(size, await sampler.autoencoder.decode(latents)))
    const reference = await judge.detect(await picturesOf(others as StickerDataset, labels))
    const to = frechetTo(fitGaussian(reference.features))
    const root = new Generator(0)
    const distance = (set: string, features: NdArray<'f32'>) => ({
      name: set,
      ...distanceWithError(to, features, root.fork(set)),
    })
    const coder = 'real pictures through the autoencoder'
    const evaluation: ClassToImageEvaluation = {
      ...{ kind: 'class-to-image', model: name, judge: judgeName, steps, seed, each, classes: classes.length },
      ...{ guidance, chosen: given === undefined, validation: few.length, sweep: points },
      scores: [
        { name: 'real pictures', rates: rates(realFound.found, labels) },
        { name: coder, rates: rates(coded.found, labels) },
        { name, rates: rates(made.found, labels) },
        // The classes follow each other: half of them on, sticker and style are both others but by chance.
        { name: `${name}, other classes`, rates: rates(made.found, labels, Math.floor(classes.length / 2) + 1) },
      ],
      byClass: classes
        .map((one, label) => ({ name: one, ...sharesOf(made.found, labels, label, asked[label] as Asked) }))
        .sort((a, b) => a.sticker - b.sticker || a.exact - b.exact),
      distances: [
        distance('other real pictures', realFound.features),
        distance(coder, coded.features),
        distance(name, made.features),
      ],
      dimension: made.features.shape[1] as number,
    }
    return {
      evaluation,
      pictures,
      labels: labels.map((label) => classes[label] as string),
      found: made.found,
      asked,
      ids: labels,
    }
  } finally {
    await sampler.release()
    await judge.release()
  }
}

/** A class as the judge names it. */
interface Asked {
  readonly icon: string
  readonly style: string
}

/** What each class asks for. */
function askedOf({ icons, classes, sceneAt, labelAt }: StickerDataset): Asked[] {
  const found: Asked[] = []
  for (let position = 0, left = classes.length; left > 0 && position < 100 * classes.length * icons.length; position++) {
    const label = labelAt(position)
    if (found[label]) continue
    const [object] = sceneAt(position).objects
    if (object) found[label] = { icon: object.icon.name, style: object.style }
    left--
  }
  return found
}

/** Classes in turn, as often as asked. */
const everyClass = (count: number, each: number): number[] => Array.from({ length: count * each }, (_, i) => i % count)

/** Rendered pictures of these classes. */
async function picturesOf(dataset: StickerDataset, labels: readonly number[]): Promise<NdArray<'f32'>> {
  const waiting = new Map<number, number[]>()
  for (const [i, label] of labels.entries()) waiting.set(label, [...(waiting.get(label) ?? []), i])
  const positions: number[] = new Array(labels.length)
  for (let position = 0, left = labels.length; left > 0; position++) {
    const place = waiting.get(dataset.labelAt(position))?.shift()
    if (place === undefined) continue
    positions[place] = position
    left--
  }
  const parts: NdArray<'f32'>[] = []
  for (let at = 0; at < positions.length; at += 64) parts.push((await dataset.batch(positions.slice(at, at + 64))).images)
  return NdArray.concat(parts)
}

function tallyOf({ objects, answers }: Finding, { icon, style }: Asked): Readonly<Record<ClassFact, Count>> {
  const [there, rendered] = [objects.some(({ name }) => name === icon), answers.style === style]
  const one = (right: boolean): Count => ({ right: Number(right), asked: 1 })
  return { sticker: one(there), style: one(rendered), exact: one(there && rendered && objects.length === 1) }
}

function sharesOf(found: readonly Finding[], labels: readonly number[], label: number, asked: Asked): Record<ClassFact, number> {
  const own = found.filter((_, i) => labels[i] === label).map((finding) => tallyOf(finding, asked))
  const share = (fact: ClassFact) => own.reduce((sum, tally) => sum + tally[fact].right, 0) / own.length
  return { sticker: share('sticker'), style: share('style'), exact: share('exact') }
}

/** The strength with which the most pictures are exact; of several the least. */
const best = (points: readonly { guidance: number; rates: ClassRates }[]): number | undefined =>
  [...points].sort((a, b) => b.rates.exact.share - a.rates.exact.share || a.guidance - b.guidance)[0]?.guidance

/** Pictures in which the judge misses the named sticker, by their positions. */
export const missed = (found: readonly Finding[], ids: readonly number[], asked: readonly Asked[]): number[] =>
  found.flatMap(({ objects }, i) => (objects.some(({ name }) => name === asked[ids[i] as number]?.icon) ? [] : [i]))
