import { areHeldApart, type ComposedScene } from '../../data/index.ts'
import { resize } from '../../images/index.ts'
import { type Finding, loadDetector } from '../../pipelines/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { CompileOptions } from '../../runtime/program.ts'
import { Generator } from '../../runtime/random.ts'
import type { ScenesConfig } from '../data.ts'
import { type HeldOutSet, heldOutSet } from '../held-out.ts'
import { trainedModel } from '../stored.ts'
import { fitGaussian, frechetTo } from './frechet.ts'
import type { StageProgress } from './options.ts'
import { type Distance, distanceWithError } from './quality.ts'
import { type CaptionSampler, openCaptionSampler } from './sampler.ts'
import { type Rates, ratesOf, scoreScene } from './scoring.ts'

/** How often a set of pictures shows what captions say. */
export interface SceneScores {
  readonly name: string
  readonly rates: Rates
}

/** What a strength of guidance does, on the validation captions. */
export interface GuidancePoint {
  readonly guidance: number
  readonly rates: Rates
  /** The mean distance of features between two pictures of one caption. */
  readonly diversity: number
}

export interface TextToImageQuality {
  /** Test captions. */
  readonly captions: number
  readonly guidance: number
  /** Whether guidance was chosen by `sweep`; else it was given. */
  readonly chosen: boolean
  /** Validation captions. */
  readonly validation: number
  readonly sweep: readonly GuidancePoint[]
  readonly scores: readonly SceneScores[]
  /** Different pairs of objects among those that training never showed together, and the captions that name them. */
  readonly pairs: number
  readonly pairCaptions: number
  readonly pairScores: readonly SceneScores[]
  /** Squared Fréchet distances in the judge's features to real pictures. */
  readonly distances: readonly ({ readonly name: string } & Distance)[]
  readonly dimension: number
  /** Of real pictures' latents, as the denoiser takes them; none where the model has no autoencoder of its own. */
  readonly latentDeviation?: number
}

export interface TextToImageOptions {
  /** Test captions. */
  readonly captions: number
  /** Validation captions. */
  readonly validation: number
  readonly steps: number
  /** Given, or chosen of `sweep` on the validation captions. */
  readonly guidance?: number | undefined
  readonly sweep: readonly number[]
  readonly seed: number
  readonly batch: number
  /** The folder or name of the judge. */
  readonly judge: string
}

export interface TextToImageContext {
  readonly name: string
  /** The scenes that the held-out sets are of. */
  readonly data: ScenesConfig
  readonly engine?: CompileOptions
  readonly signal?: AbortSignal | undefined
  readonly onStep?: ((step: StageProgress) => void) | undefined
}

/** Pictures of one caption that are compared for their diversity. */
const TWICE = 50
/** Captions of pairs: what their interval rests on is the number of pairs. */
const PAIR_CAPTIONS = 250

/**
 * Measures a text-to-image model by a judge that learnt from rendered scenes alone: what of the test captions its pictures show, at
 * the guidance that was best on the validation captions. Beside it: real pictures, which show the judge's own error; real pictures through
 * the autoencoder, which no model of its latents can surpass; the model's pictures against captions of other pictures, which is chance. The
 * same for pairs of objects that training never showed together, and how far pictures lie from real ones.
 *
 * @returns the numbers; the pictures of the test captions, with the captions, the scenes and what the judge found
 */
export async function measureTextToImage(
  model: string,
  { captions: count, validation: chosenBy, steps, seed, guidance: given, sweep, batch, judge: judgeName }: TextToImageOptions,
  { name, data, engine = {}, signal, onStep }: TextToImageContext,
) {
  const judge = loadDetector(trainedModel(judgeName), engine)
  const size = judge.config.sample_size
  const validation = await heldOutSet(data, 'validation', { size, count: chosenBy })
  const test = await heldOutSet(data, 'test', { size, count })
  const pairs = await heldOutSet(data, 'pairs', { size, count: Math.min(count, PAIR_CAPTIONS) })
  const sampler = await openCaptionSampler(model, { batch, ...engine })
  /** Pictures as large as the judge takes them. */
  const sample = async (captions: readonly string[], strength: number, from: number, stage: string) =>
    asLargeAs(
      size,
      await sampler.generate(captions, {
        ...{ steps, guidance: strength, seed: from, signal },
        onPictures: (done, total) => onStep?.({ stage, done, total }),
      }),
    )
  const detect = async (pictures: NdArray<'f32'>) => {
    signal?.throwIfAborted()
    return judge.detect(pictures)
  }
  try {
    const points: GuidancePoint[] = []
    for (const strength of sweep) {
      const stage = `validation, guidance ${strength}`
      const first = await detect(await sample(validation.captions, strength, seed, stage))
      const again = validation.captions.slice(0, TWICE)
      const second = await detect(await sample(again, strength, seed + validation.captions.length, `${stage}, other seeds`))
      const diversity = meanDistance(first.features.slice(0, 0, again.length), second.features)
      points.push({ guidance: strength, rates: ratesOfSet(first.found, validation), diversity })
    }
    const guidance = given ?? bestGuidance(points)

    const pictures = await sample(test.captions, guidance, seed, `test, guidance ${guidance}`)
    const made = await detect(pictures)
    const madePairs = await detect(await sample(pairs.captions, guidance, seed + count, 'pairs never seen together'))
    const images = test.render(test.scenes)
    const real = await detect(images)
    const realPairs = await detect(pairs.render(pairs.scenes))
    const coded = await throughAutoencoder(sampler, test.scenes, data, size)
    const codedFound = coded && (await detect(coded.pictures))
    const reference = await heldOutSet(data, 'validation', { size, count })
    const others = await detect(reference.render(reference.scenes))

    const to = frechetTo(fitGaussian(others.features))
    const root = new Generator(0)
    const distance = (set: string, features: NdArray<'f32'>) => ({
      name: set,
      ...distanceWithError(to, features, root.fork(set)),
    })
    const coder = 'real pictures through the autoencoder'
    const quality: TextToImageQuality = {
      ...{ captions: count, guidance, chosen: given === undefined, validation: validation.captions.length, sweep: points },
      scores: [
        { name: 'real pictures', rates: ratesOfSet(real.found, test) },
        ...(codedFound ? [{ name: coder, rates: ratesOfSet(codedFound.found, test) }] : []),
        { name, rates: ratesOfSet(made.found, test) },
        { name: `${name}, captions of other pictures`, rates: ratesOfSet(made.found, test, 1) },
      ],
      pairs: new Set(pairs.scenes.map(heldApart)).size,
      pairCaptions: pairs.captions.length,
      pairScores: [
        { name: 'real pictures', rates: ratesOfSet(realPairs.found, pairs) },
        { name, rates: ratesOfSet(madePairs.found, pairs) },
      ],
      distances: [
        distance('other real pictures', real.features),
        ...(codedFound ? [distance(coder, codedFound.features)] : []),
        distance(name, made.features),
      ],
      dimension: made.features.shape[1] as number,
      ...(coded?.deviation !== undefined && { latentDeviation: coded.deviation }),
    }
    return { quality, made: pictures, captions: test.captions, scenes: test.scenes, found: made.found }
  } finally {
    await sampler.release()
    await judge.release()
  }
}

/** The strength with which the most pictures are exact; of several the least. */
export const bestGuidance = (points: readonly Pick<GuidancePoint, 'guidance' | 'rates'>[]): number =>
  [...points].sort((a, b) => b.rates.exact.share - a.rates.exact.share || a.guidance - b.guidance)[0]?.guidance as number

/** @param shift by how many places captions are moved on, so that each is another picture's */
function ratesOfSet(found: readonly Finding[], { name, scenes, details }: HeldOutSet, shift = 0): Rates {
  const tallies = found.map((finding, i) => {
    const of = (i + shift) % found.length
    return scoreScene(scenes[of] as ComposedScene, details[of]?.described, finding)
  })
  return name === 'pairs' ? ratesOf(tallies, (i) => heldApart(scenes[i] as ComposedScene)) : ratesOf(tallies)
}

/** The two objects of a scene, by name, that training never shows together; of three such pairs the first. */
function heldApart({ groups }: ComposedScene): string {
  const names = groups.map(({ noun }) => noun.icon.name).sort()
  const pairs = names.flatMap((a, i) => names.slice(i + 1).map((b) => [a, b] as const))
  return (pairs.find(([a, b]) => areHeldApart(a, b)) ?? names).join(' and ')
}

/** Real pictures through a model's autoencoder, and the deviation of their scaled latents. */
async function throughAutoencoder(
  { autoencoder }: CaptionSampler,
  scenes: readonly ComposedScene[],
  data: ScenesConfig,
  size: number,
): Promise<{ pictures: NdArray<'f32'>; deviation: number | undefined } | undefined> {
  if (!autoencoder) return undefined
  const { coder, scale, size: own } = autoencoder
  const { render } = await heldOutSet(data, 'test', { size: own, count: 1 })
  const latents = await coder.encode(render(scenes))
  const pictures = asLargeAs(size, await coder.decode(latents as NdArray<'f32'>))
  return { pictures, deviation: scale === undefined ? undefined : (latents as NdArray<'f32'>).mul(scale).std().item() }
}

/** Pictures of this many pixels a side. */
export const asLargeAs = (size: number, pictures: NdArray<'f32'>): NdArray<'f32'> =>
  pictures.shape[2] === size && pictures.shape[3] === size
    ? pictures
    : resize(pictures, { width: size, height: size, kernel: 'lanczos', range: [-1, 1] })

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

/** Pictures in which a named object is not found, by their positions. */
export const missing = (scenes: readonly ComposedScene[], found: readonly Finding[]): number[] =>
  found.flatMap(({ objects }, i) => {
    const there = new Set(objects.map(({ name }) => name))
    return scenes[i]?.groups.every(({ noun }) => there.has(noun.icon.name)) ? [] : [i]
  })
