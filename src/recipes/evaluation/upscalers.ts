import { join, resolve, sep } from 'node:path'
import { FolderError, loadConfig } from '../../checkpoints/index.ts'
import { ArgumentError } from '../../core/errors.ts'
import { input } from '../../core/tensor.ts'
import { degrade, listImages } from '../../data/index.ts'
import { decodeImage, type Kernel, resize } from '../../images/index.ts'
import { finish, loadAutoencoder, loadUpscaler } from '../../pipelines/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Generator } from '../../runtime/random.ts'
import { scenesOf, scenesSchema } from '../data.ts'
import { positionsFrom } from '../positions.ts'
import { frozenClassifier, trainedModel } from '../stored.ts'
import { pairPool, type Source } from '../tasks/upscaler/pairs.ts'
import { fitGaussian, frechetTo } from './frechet.ts'
import type { EvaluateContext } from './options.ts'
import { inner, lumaOf, powerSpectrum, psnrOfLevels, spectrumDistance, ssimOfLevels } from './picture-metrics.ts'

/** The bundled upscalers and recipes that are measured where they are at hand. */
export const usualUpscalers = ['stickers-x4', 'stickers-x4-rrdb', 'stickers-x4-gan'] as const

/** Pictures of each set. */
export const MOST_PICTURES = 200

export interface UpscalersOptions {
  /** Pictures of each set, at most. */
  readonly num: number
  /** Folders, files and names of upscalers; the usual ones that are at hand unless given. */
  readonly upscalers?: readonly string[] | undefined
  /** A folder of photographs that are measured too. */
  readonly photographs?: string | undefined
  /** The folder or name of the classifier whose features are compared. */
  readonly classifier: string
}

/** What a way to enlarge pictures makes of a set. */
export interface UpscalerScore {
  readonly method: string
  /** Means over the pictures, on brightness: decibels, and structural similarity. */
  readonly psnr: number
  readonly ssim: number
  /** Of the mean power spectra, in decibels. */
  readonly spectrum: number
  /** The squared Fréchet distance of features; undefined for fewer pictures than features. */
  readonly frechet?: number | undefined
  /** A picture. */
  readonly seconds: number
}
export interface UpscalersEvaluation {
  readonly kind: 'upscalers'
  readonly scale: number
  /** Pixels a side of the large pictures. */
  readonly side: number
  readonly classifier: string
  readonly sets: readonly { readonly name: string; readonly num: number; readonly scores: readonly UpscalerScore[] }[]
}

/** Pixels a side of the small pictures; and how much larger they become. */
const SIZE = 64
const SCALE = 4
const SIDE = SIZE * SCALE
/** The seed of scenes and degradations, which no training run has. */
const SEED = 20_000

interface Pair {
  /** [3, h, w] and [3, 4h, 4w] in [0, 1]. */
  readonly small: NdArray<'f32'>
  readonly large: NdArray<'f32'>
}
interface PictureSet {
  readonly name: string
  readonly num: number
  pair(i: number): Promise<Pair>
}
interface Method {
  readonly name: string
  enlarge(small: NdArray<'f32'>): Promise<NdArray<'f32'>>
  release(): Promise<void>
}

/**
 * All ways to enlarge pictures on the same ones: stickers that training never shows, shrunk, degraded and behind the autoencoder;
 * and parts of photographs, shrunk and degraded.
 *
 * @throws FolderError for upscalers that are named and not there; ArgumentError for a folder without photographs
 */
export async function evaluateUpscalers(
  options: UpscalersOptions,
  context: Omit<EvaluateContext, 'name'>,
): Promise<UpscalersEvaluation> {
  const { engine = {}, signal, onStep = () => {} } = context
  const features = await featuresBy(trainedModel(options.classifier), engine)
  const autoencoder = loadAutoencoder(trainedModel('stickers-vae'), { ...engine, batch: 1 })
  const methods = methodsOf(options.upscalers, engine)
  try {
    const sets = [
      ...(await stickerSets(options.num, autoencoder)),
      ...(options.photographs === undefined ? [] : await photographSets(options.photographs, options.num)),
    ]
    const measured: UpscalersEvaluation['sets'][number][] = []
    for (const set of sets) {
      const stage = (done: number) => onStep({ stage: set.name, done, total: set.num })
      measured.push({ name: set.name, num: set.num, scores: await scored(set, methods, features.of, { signal, stage }) })
    }
    return { kind: 'upscalers', scale: SCALE, side: SIDE, classifier: options.classifier, sets: measured }
  } finally {
    for (const { release } of [features, autoencoder, ...methods]) await release()
  }
}

/** What is found of a picture: the real one's, or one that a method made. */
interface Found {
  readonly luma: NdArray<'f32'>
  readonly spectrum: Float64Array
  readonly features: NdArray<'f32'>
}

async function scored(
  { num, pair }: PictureSet,
  methods: readonly Method[],
  features: (picture: NdArray<'f32'>) => Promise<NdArray<'f32'>>,
  { signal, stage }: { readonly signal: AbortSignal | undefined; readonly stage: (done: number) => void },
): Promise<UpscalerScore[]> {
  const look = async (picture: NdArray<'f32'>): Promise<Found> => {
    const luma = lumaOf(picture)
    return { luma, spectrum: powerSpectrum(luma), features: await features(picture) }
  }
  const real: Found[] = []
  const made = methods.map(() => [] as (Found & { psnr: number; ssim: number; seconds: number })[])
  for (let i = 0; i < num; i++) {
    signal?.throwIfAborted()
    const { small, large } = await pair(i)
    const truth = await look(large)
    real.push(truth)
    for (const [k, method] of methods.entries()) {
      const began = performance.now()
      const enlarged = await method.enlarge(small)
      const seconds = (performance.now() - began) / 1000
      const found = await look(inLevels(enlarged))
      // Without the border of as many pixels as one becomes, as published figures are.
      const [a, b] = [found.luma, truth.luma].map((luma) => inner(luma, SCALE)) as [NdArray<'f32'>, NdArray<'f32'>]
      made[k]?.push({ ...found, psnr: psnrOfLevels(a, b), ssim: ssimOfLevels(a, b), seconds })
    }
    stage(i + 1)
  }
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  const spectrumOf = (all: readonly Found[]) =>
    Float64Array.from({ length: SIDE / 2 }, (_, i) => mean(all.map(({ spectrum }) => spectrum[i] as number)))
  const gaussianOf = (all: readonly Found[]) => fitGaussian(NdArray.concat(all.map((one) => one.features)))
  const enough = num > (real[0]?.features.size ?? 0)
  const toReal = enough ? frechetTo(gaussianOf(real)) : undefined
  const realSpectrum = spectrumOf(real)
  return methods.map(({ name }, k) => {
    const all = made[k] ?? []
    return {
      method: name,
      psnr: mean(all.map(({ psnr }) => psnr)),
      ssim: mean(all.map(({ ssim }) => ssim)),
      spectrum: spectrumDistance(spectrumOf(all), realSpectrum),
      frechet: toReal?.(gaussianOf(all)),
      seconds: mean(all.map(({ seconds }) => seconds)),
    }
  })
}

/** Levels of 255 as a file would have them. */
const inLevels = (picture: NdArray<'f32'>): NdArray<'f32'> =>
  picture.map((value) => Math.round(Math.min(1, Math.max(0, value)) * 255) / 255)

function methodsOf(asked: readonly string[] | undefined, engine: CompileOptions): Method[] {
  const byKernel = (name: string, kernel: Kernel): Method => ({
    name,
    enlarge: async (small) => {
      const [height, width] = small.shape.slice(1).map((side) => side * SCALE) as [number, number]
      return resize(small.reshape([1, ...small.shape]), { width, height, kernel, range: [0, 1] }).reshape([3, height, width])
    },
    release: async () => {},
  })
  const byNetwork = (name: string): Method => {
    const upscaler = loadUpscaler(trainedModel(name), engine)
    return {
      name: labelOf(name),
      enlarge: (small) => finish(upscaler.upscale(small, { scale: SCALE })),
      release: () => upscaler.release(),
    }
  }
  const usual = usualUpscalers.flatMap((name) => {
    try {
      return byNetwork(name)
    } catch (error) {
      // A recipe that was not run here yet.
      if (error instanceof FolderError) return []
      throw error
    }
  })
  return [
    byKernel('nearest', 'box'),
    byKernel('bicubic', 'bicubic'),
    byKernel('lanczos', 'lanczos'),
    ...(asked?.map(byNetwork) ?? usual),
  ]
}

/** A folder's name; of a training run's model that of the run. */
const labelOf = (path: string): string => {
  const [name = path, run] = resolve(path).split(sep).reverse()
  return name === 'model' && run ? run : name
}

/** Scenes of icons that no training run has seen. */
async function stickerSets(num: number, autoencoder: ReturnType<typeof loadAutoencoder>): Promise<PictureSet[]> {
  const scenes = await scenesOf(scenesSchema.parse({ kind: 'scenes' }), { size: SIZE, seed: SEED, split: 'icons' })
  const pool = pairPool({ ...scenes, size: SIZE, scale: SCALE, autoencoder, seed: SEED })
  const names: readonly (readonly [Source, string])[] = [
    ['bicubic', 'stickers, shrunk'],
    ['degraded', 'stickers, degraded'],
    ['autoencoder', "stickers, from the autoencoder's latents"],
  ]
  return names.map(([source, name]) => ({
    name,
    num,
    async pair(i) {
      const { small, large } = await pool(i, source)
      return { small: small.reshape([3, SIZE, SIZE]), large: large.reshape([3, SIDE, SIDE]) }
    },
  }))
}

/** Squares of photographs, half of them over their neighbours. */
async function photographSets(folder: string, num: number): Promise<PictureSet[]> {
  const { images } = listImages(folder)
  const squares: NdArray<'f32'>[] = []
  for (const { file } of images) {
    const picture = (await decodeImage(join(folder, file))).map((value) => (value + 1) / 2)
    const [, H, W] = picture.shape as [number, number, number]
    for (const top of positionsFrom(0, Math.floor((2 * H) / SIDE) - 1))
      for (const left of positionsFrom(0, Math.floor((2 * W) / SIDE) - 1)) {
        const [y, x] = [(top * SIDE) / 2, (left * SIDE) / 2]
        squares.push(picture.slice(1, y, y + SIDE).slice(2, x, x + SIDE))
      }
  }
  if (squares.length === 0) throw new ArgumentError(`${folder}: no photographs of ${SIDE} × ${SIDE} pixels or more`)
  // Spread over all photographs where not all squares are taken.
  const taken = positionsFrom(0, Math.min(num, squares.length)).map(
    (i) => squares[Math.floor((i * squares.length) / Math.min(num, squares.length))] as NdArray<'f32'>,
  )
  const root = new Generator(SEED)
  const shrunk = (large: NdArray<'f32'>) =>
    inLevels(
      resize(large.reshape([1, 3, SIDE, SIDE]), { width: SIZE, height: SIZE, kernel: 'bicubic', range: [0, 1] }).reshape([
        3,
        SIZE,
        SIZE,
      ]),
    )
  const set = (name: string, smallOf: (large: NdArray<'f32'>, i: number) => Promise<NdArray<'f32'>>): PictureSet => ({
    name,
    num: taken.length,
    async pair(i) {
      const large = taken[i] as NdArray<'f32'>
      return { small: await smallOf(large, i), large }
    },
  })
  return [
    set('photographs, shrunk', async (large) => shrunk(large)),
    set('photographs, degraded', (large, i) => degrade(large, root.fork(i), SCALE)),
  ]
}

/** Features of pictures [3, side, side] in [0, 1], [1, D], by the classifier's own layers. */
async function featuresBy(folder: string, engine: CompileOptions) {
  const pictures = input('pictures', [1, 3, SIDE, SIDE])
  const { in_channels: channels } = loadConfig(folder)
  if (channels !== undefined && channels !== 3)
    throw new ArgumentError(`${folder}: a classifier of ${channels} channels cannot compare pictures of 3`)
  const { features } = frozenClassifier(folder, SIDE)(pictures.mul(2).sub(1))
  const program = await compile({ outputs: { features } }, engine)
  return {
    of: async (picture: NdArray<'f32'>) =>
      (await program.run({ pictures: picture.reshape([1, ...picture.shape]) })).features as NdArray<'f32'>,
    release: () => program.release(),
  }
}
