import { ArgumentError } from '../../core/errors.ts'
import type { Split, StickerDataset } from '../../data/index.ts'
import type { Classification, ImageClassifier } from '../../pipelines/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { type StickersConfig, stickersOf } from '../data.ts'
import { positionsFrom } from '../positions.ts'
import { answers } from '../tasks/classifier.ts'
import type { DrawnPictures } from './drawn.ts'
import { fitGaussian, frechetTo, type GaussianFit } from './frechet.ts'

/** A squared Fréchet distance, and the standard error of drawing other pictures. */
export interface Distance {
  readonly distance: number
  readonly error: number
}

/** How far a set of pictures lies from real ones. */
export interface SetQuality {
  readonly name: string
  /** To pictures of the icons that were trained on. */
  readonly training: Distance
  /** To pictures of the icons that no training picture shows. */
  readonly heldOut: Distance
  /** The share of pictures of which the classifier names an icon with a probability of 0.9 or more; of noise it names none. */
  readonly named: number
}

/** The training picture that is most like a picture, by its position in the gallery's dataset. */
export interface Nearest {
  readonly position: number
  readonly distance: number
}

export interface PictureQuality {
  /** Pictures in every set, and in each of the two that they are compared with. */
  readonly num: number
  /** Length of a feature vector. */
  readonly dimension: number
  readonly icons: { readonly training: number; readonly heldOut: number }
  readonly sets: readonly SetQuality[]
  /** Mean distances of features to the nearest of so many pictures that training drew. */
  readonly nearest: {
    readonly gallery: number
    /** How many it drew in all. Not there: the gallery is fresh pictures of the training icons, as earlier versions took them. */
    readonly drawn?: number
    readonly samples: number
    readonly training: number
    readonly heldOut: number
  }
}

/** Real pictures: fresh draws, which no training run with its own seed has seen as they are. */
export const realPictures = (data: StickersConfig, size: number, split: Split): Promise<StickerDataset> =>
  stickersOf(data, { size, split, seed: EVALUATION_SEED })
const EVALUATION_SEED = 20_000

/** Features of a dataset's pictures at these positions, and the logits of their icons. */
async function classifyAt(
  classifier: ImageClassifier,
  dataset: StickerDataset,
  positions: readonly number[],
): Promise<Classification> {
  const found: Classification[] = []
  const batch = 64
  for (let at = 0; at < positions.length; at += batch) {
    const { images } = await dataset.batch(positions.slice(at, at + batch))
    found.push(await classifier.classify(images, { batch }))
  }
  const icon = NdArray.concat(found.map(({ logits }) => logits.icon as NdArray<'f32'>))
  return { features: NdArray.concat(found.map(({ features }) => features)), logits: { icon } }
}

/** The share of rows [N, classes] of which one class has a probability of at least `least`. */
export function shareCertain(logits: NdArray<'f32'>, least = 0.9): number {
  const rows = logits.sub(logits.max({ axes: [1], keep: true })).exp()
  // The greatest is now 1, and its probability 1 over the sum.
  const sums = rows.sum({ axes: [1] }).data
  return sums.filter((sum) => 1 / sum >= least).length / sums.length
}

const RESAMPLES = 50

/** The distance, with the standard deviation over bootstrap resamples of the vectors as its error. */
export function distanceWithError(to: (fit: GaussianFit) => number, vectors: NdArray<'f32'>, generator: Generator): Distance {
  const n = vectors.shape[0] as number
  const resampled = Array.from({ length: RESAMPLES }, () =>
    to(fitGaussian(vectors, Array.from(generator.randint(0, n, [n]).data, Number))),
  )
  return { distance: to(fitGaussian(vectors)), error: NdArray.from(resampled, [RESAMPLES]).std().item() }
}

/** For each vector [N, D] the nearest row of a gallery [M, D]. */
export function nearestRows(vectors: NdArray<'f32'>, gallery: NdArray<'f32'>): Nearest[] {
  const [n, d] = vectors.shape as [number, number]
  const m = gallery.shape[0] as number
  return Array.from({ length: n }, (_, i) => {
    let position = -1
    let least = Infinity
    for (let j = 0; j < m; j++) {
      let sum = 0
      for (let k = 0; k < d && sum < least; k++)
        sum += ((vectors.data[i * d + k] as number) - (gallery.data[j * d + k] as number)) ** 2
      if (sum < least) [least, position] = [sum, j]
    }
    return { position, distance: Math.sqrt(least) }
  })
}

/** Pictures [num, …] whose values are independent, each with the mean and deviation that it has over a set of pictures. */
export function pixelwiseGaussian(pictures: NdArray<'f32'>, num: number, generator: Generator): NdArray<'f32'> {
  const [mean, deviation] = [pictures.mean({ axes: [0] }), pictures.std({ axes: [0] })]
  return generator
    .randn([num, ...pictures.shape.slice(1)])
    .mul(deviation)
    .add(mean)
    .clamp(-1, 1)
}

interface PictureContext {
  readonly data: StickersConfig
  readonly classifier: ImageClassifier
  readonly name: string
  /** What training drew. */
  readonly gallery: DrawnPictures
}

const meanDistance = (found: readonly Nearest[]) => found.reduce((sum, { distance }) => sum + distance, 0) / found.length

/**
 * Measures sampled stickers [N, 3, H, W] by squared Fréchet distances in the features of a classifier (Heusel et al. 2017, with
 * our features in the place of Inception's, so that the numbers are not FIDs), beside those of real pictures, of a Gaussian
 * fitted to every pixel and of noise. All sets have N pictures: the estimate's bias, which falls with N, is the same for all.
 *
 * @returns the numbers, and for each sample the nearest picture of the gallery
 */
export async function measurePictures(
  samples: NdArray<'f32'>,
  { data, classifier, name, gallery }: PictureContext,
): Promise<{ quality: PictureQuality; nearest: Nearest[] }> {
  const [num, , size] = samples.shape as [number, number, number]
  if (!classifier.config.heads.icon) throw new ArgumentError('measurePictures: the classifier must have a head that names icons')
  const [training, heldOut] = [await realPictures(data, size, 'train'), await realPictures(data, size, 'test')]
  const reference = async (dataset: StickerDataset) =>
    frechetTo(fitGaussian((await classifyAt(classifier, dataset, positionsFrom(num, num))).features))
  const to = { training: await reference(training), heldOut: await reference(heldOut) }
  const root = new Generator(EVALUATION_SEED)
  const { images } = await training.batch(Array.from({ length: num }, (_, i) => i))
  const sets: [string, Classification][] = [
    [name, await classifier.classify(samples)],
    ['other pictures of the training icons', await classifier.classify(images)],
    ['pictures of held-out icons', await classifyAt(classifier, heldOut, positionsFrom(0, num))],
    ['a Gaussian fitted to every pixel', await classifier.classify(pixelwiseGaussian(images, num, root.fork('gaussian')))],
    ['uniform noise', await classifier.classify(root.fork('noise').rand(samples.shape).mul(2).sub(1))],
  ]
  const [sampled, other, held] = sets.map(([, { features }]) => features) as [NdArray<'f32'>, NdArray<'f32'>, NdArray<'f32'>]
  const { positions } = gallery
  const { features: shown } = await classifyAt(classifier, gallery.dataset, positions)
  const nearest = nearestRows(sampled, shown).map((one) => ({ ...one, position: positions[one.position] as number }))
  return {
    quality: {
      num,
      dimension: sampled.shape[1] as number,
      icons: { training: training.icons.length, heldOut: heldOut.icons.length },
      sets: sets.map(([set, { features, logits }]) => ({
        name: set,
        training: distanceWithError(to.training, features, root.fork(`${set} to training`)),
        heldOut: distanceWithError(to.heldOut, features, root.fork(`${set} to held out`)),
        named: shareCertain(logits.icon as NdArray<'f32'>),
      })),
      nearest: {
        gallery: positions.length,
        drawn: gallery.all,
        samples: meanDistance(nearest),
        training: meanDistance(nearestRows(other, shown)),
        heldOut: meanDistance(nearestRows(held, shown)),
      },
    },
    nearest,
  }
}

/** The share of pictures whose class a head names, by what the pictures are. */
export interface ClassifierQuality {
  readonly num: number
  /** By head, then by split; a head that cannot know a split's classes has no share of it. */
  readonly accuracy: Readonly<Record<string, Readonly<Partial<Record<Split, number>>>>>
}

/** Counts a classifier's right answers on `num` fresh pictures of each split. */
export async function measureClassifier(
  classifier: ImageClassifier,
  { data, num }: { readonly data: StickersConfig; readonly num: number },
): Promise<ClassifierQuality> {
  const accuracy: Record<string, Partial<Record<Split, number>>> = {}
  for (const split of ['train', 'pairs', 'test'] as const) {
    const dataset = await realPictures(data, classifier.config.sample_size, split)
    const { images, scenes } = await dataset.batch(Array.from({ length: num }, (_, i) => i))
    const { logits } = await classifier.classify(images)
    const told = scenes.map(answers)
    for (const [head, classes] of Object.entries(classifier.config.heads)) {
      const wanted = told.map((one) => classes.indexOf(one[head as keyof typeof one]))
      if (wanted.every((number) => number < 0)) continue
      const rows = (logits[head] as NdArray).toNested() as number[][]
      const right = rows.filter((row, i) => row.indexOf(Math.max(...row)) === wanted[i]).length
      accuracy[head] = { ...accuracy[head], [split]: right / num }
    }
  }
  return { num, accuracy }
}
