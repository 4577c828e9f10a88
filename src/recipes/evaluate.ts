import { existsSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { z } from 'zod'
import { FolderError } from '../checkpoints/index.ts'
import { readJson } from '../checkpoints/json.ts'
import { ArgumentError } from '../core/errors.ts'
import type { StickerDataset } from '../data/index.ts'
import { ddpmOptions, finish, loadClassifier, loadDdpm, modelFolder, type SampleProgress } from '../pipelines/index.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import type { CompileOptions } from '../runtime/program.ts'
import { recipeFile } from '../training/run.ts'
import { type StickersConfig, stickersSchema } from './data.ts'
import { type ClassifierQuality, measureClassifier, measurePictures, type Nearest, type PictureQuality } from './quality.ts'

/** How a model is sampled to be measured; a classifier takes `num` alone. */
export const evaluateOptions = z.object({
  num: z.int().min(2).default(1024).meta({ description: 'pictures in every set' }),
  steps: z.int().positive().default(50).meta({ description: 'sampling steps' }),
  seed: ddpmOptions.shape.seed,
  scheduler: ddpmOptions.shape.scheduler.unwrap().default('ddim').meta({ description: 'the sampler' }),
  batch: ddpmOptions.shape.batch.default(64),
  classifier: z
    .string()
    .default('sticker-classifier-32')
    .meta({ description: 'the folder or name of the classifier whose features are compared' }),
})
export type EvaluateOptions = z.infer<typeof evaluateOptions>

export interface EvaluateContext {
  /** How errors and tables call the model. */
  readonly name: string
  readonly engine?: CompileOptions
  readonly signal?: AbortSignal
  readonly onStep?: (step: SampleProgress) => void
}

export interface DdpmEvaluation extends Omit<EvaluateOptions, 'batch' | 'num'>, PictureQuality {
  readonly model: string
}
export interface ClassifierEvaluation extends ClassifierQuality {
  readonly model: string
}

/** The stickers that a model learnt from, as the recipe in its folder says. */
function learntFrom(folder: string): StickersConfig {
  const file = join(folder, recipeFile)
  if (!existsSync(file))
    throw new FolderError(folder, `has no ${recipeFile}, which training writes: it says what real pictures are to the model`)
  const { data } = readJson(file)
  const parsed = stickersSchema.safeParse(data)
  if (!parsed.success)
    throw new ArgumentError(`${file}: only models of stickers can be measured, its data are ${JSON.stringify(data)}`)
  return parsed.data
}

/** Whether a folder is a classifier's, rather than a pipeline's that samples pictures. */
export const isClassifier = (folder: string): boolean => !existsSync(join(folder, 'model_index.json'))

/**
 * Samples a DDPM's folder and measures the pictures.
 *
 * @returns the numbers, the samples [num, C, H, W], and the training picture nearest to each
 */
export async function evaluateDdpm(
  folder: string,
  { batch, ...options }: EvaluateOptions,
  { name, engine = {}, signal, onStep }: EvaluateContext,
): Promise<{ evaluation: DdpmEvaluation; samples: NdArray<'f32'>; nearest: Nearest[]; gallery: StickerDataset }> {
  const data = learntFrom(folder)
  const measure = modelFolder(options.classifier)
  const classifier = loadClassifier(measure)
  const { num, steps, seed, scheduler } = options
  const ddpm = await loadDdpm(folder, engine)
  try {
    const sampling = ddpm.sample({ num, steps, seed, scheduler, batch, ...(signal ? { signal } : {}) })
    const samples = await finish(sampling, onStep)
    const { quality, ...rest } = await measurePictures(samples, { data, classifier, name })
    return { evaluation: { model: name, ...options, classifier: basename(resolve(measure)), ...quality }, samples, ...rest }
  } finally {
    await ddpm.release()
    await classifier.release()
  }
}

/** Measures a classifier's folder. */
export async function evaluateClassifier(
  folder: string,
  { num }: Pick<EvaluateOptions, 'num'>,
  { name, engine = {} }: EvaluateContext,
): Promise<ClassifierEvaluation> {
  const data = learntFrom(folder)
  const classifier = loadClassifier(folder, engine)
  try {
    return { model: name, ...(await measureClassifier(classifier, { data, num })) }
  } finally {
    await classifier.release()
  }
}
