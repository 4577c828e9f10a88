import { existsSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { z } from 'zod'
import { FolderError } from '../../checkpoints/index.ts'
import { readJson } from '../../checkpoints/json.ts'
import { ArgumentError } from '../../core/errors.ts'
import type { StickerDataset } from '../../data/index.ts'
import {
  ddpmOptions,
  finish,
  loadClassifier,
  loadPictureModel,
  loadScoreSde,
  modelFolder,
  type PictureSampler,
  pictureSamplers,
} from '../../pipelines/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { CompileOptions } from '../../runtime/program.ts'
import { recipeFile } from '../../training/history.ts'
import { type StickersConfig, stickersSchema } from '../data.ts'
import { type ScoreConfig, scoreSchema, scoreType } from '../tasks/score.ts'
import { gridSampling } from '../tasks/text-to-image/fixed-prompts.ts'
import { type Likelihood, type LikelihoodContext, measureLikelihood } from './likelihood.ts'
import { type ClassifierQuality, measureClassifier, measurePictures, type Nearest, type PictureQuality } from './quality.ts'

/** How a model is sampled to be measured; a classifier takes `num` alone. */
export const evaluateOptions = z.object({
  num: z.int().min(2).default(1024).meta({ description: 'pictures in every set; from text 500 at most' }),
  steps: z.int().positive().optional().meta({ description: 'sampling steps; 50 unless told, 200 with pc and sde, 20 from text' }),
  seed: ddpmOptions.shape.seed,
  scheduler: z
    .enum(pictureSamplers)
    .default('ddim')
    .meta({ description: 'the sampler; pc, sde and ode where it is a score SDE' }),
  batch: ddpmOptions.shape.batch.default(64),
  likelihood: z
    .int()
    .min(0)
    .default(64)
    .meta({ description: 'of a score SDE: pictures in each of two sets whose bits per dimension are measured; 0 for none' }),
  guidance: z
    .number()
    .min(1)
    .default(gridSampling.guidance)
    .meta({ description: 'of a text-to-image model: how strongly captions guide' }),
  judge: z
    .string()
    .default('stickers-judge')
    .meta({ description: 'of a text-to-image model: the folder or name of the judge of its pictures' }),
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
  readonly onStep?: (step: StageProgress) => void
}

/** How far a part of the work is. */
export interface StageProgress {
  readonly stage: string
  readonly done: number
  readonly total: number
}

export interface DdpmEvaluation
  extends Omit<EvaluateOptions, 'batch' | 'num' | 'likelihood' | 'steps' | 'guidance' | 'judge'>,
    PictureQuality {
  readonly model: string
  /** Not of the sampler ode, which chooses its own. */
  readonly steps?: number
  /** Of a score SDE. */
  readonly likelihood?: Likelihood
}
export interface ClassifierEvaluation extends ClassifierQuality {
  readonly model: string
}

/** The stickers that a model learnt from, as the recipe in its folder says, and the drift of a score SDE. */
function learntFrom(folder: string): { data: StickersConfig; sde?: ScoreConfig['sde'] } {
  const file = join(folder, recipeFile)
  if (!existsSync(file))
    throw new FolderError(folder, `has no ${recipeFile}, which training writes: it says what real pictures are to the model`)
  const { data, recipe, sde } = readJson(file)
  const parsed = stickersSchema.safeParse(data)
  if (!parsed.success)
    throw new ArgumentError(`${file}: only models of stickers can be measured, its data are ${JSON.stringify(data)}`)
  return { data: parsed.data, ...(recipe === scoreType.name ? { sde: scoreSchema.shape.sde.parse(sde) } : {}) }
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
  { batch, likelihood: counted, steps: asked, guidance: _, judge: __, ...options }: EvaluateOptions,
  { name, engine = {}, signal, onStep }: EvaluateContext,
): Promise<{ evaluation: DdpmEvaluation; samples: NdArray<'f32'>; nearest: Nearest[]; gallery: StickerDataset }> {
  const { data, sde } = learntFrom(folder)
  const measure = modelFolder(options.classifier)
  const classifier = loadClassifier(measure)
  const { num, seed, scheduler } = options
  const steps = asked ?? defaultSteps(scheduler)
  const watch = { engine, ...(signal ? { signal } : {}), ...(onStep ? { onStep } : {}) }
  const told = { ...options, ...(steps === undefined ? {} : { steps }) }
  try {
    const samples = await sampleFolder(folder, { num, seed, scheduler, batch, steps }, watch)
    const { quality, ...rest } = await measurePictures(samples, { data, classifier, name })
    const likelihood =
      sde && counted > 0 ? await likelihoodOf({ data, num: counted, seed, batch, end: sde.sampling_eps }) : undefined
    const evaluation = { model: name, ...told, classifier: basename(resolve(measure)), ...quality }
    return { evaluation: { ...evaluation, ...(likelihood ? { likelihood } : {}) }, samples, ...rest }
  } finally {
    await classifier.release()
  }

  async function likelihoodOf(context: Omit<LikelihoodContext, 'signal' | 'onPart'>): Promise<Likelihood> {
    const model = await loadScoreSde(folder, { ...engine, end: context.end })
    try {
      const onPart = (done: number, total: number) => onStep?.({ stage: 'likelihood', done, total })
      return await measureLikelihood(model, { ...context, ...(signal ? { signal } : {}), onPart })
    } finally {
      await model.release()
    }
  }
}

const defaultSteps = (scheduler: PictureSampler): number | undefined =>
  scheduler === 'ode' ? undefined : scheduler === 'pc' || scheduler === 'sde' ? 200 : 50

/** Pictures [num, C, H, W] of a folder by a sampler. */
export async function sampleFolder(
  folder: string,
  options: Pick<EvaluateOptions, 'num' | 'seed' | 'scheduler' | 'batch'> & { readonly steps?: number | undefined },
  { engine = {}, signal, onStep }: Omit<EvaluateContext, 'name'>,
): Promise<NdArray<'f32'>> {
  const { scheduler, steps, ...rest } = options
  const model = await loadPictureModel(folder, scheduler, engine)
  try {
    const given = { ...rest, ...(steps === undefined ? {} : { steps }), ...(signal ? { signal } : {}) }
    return await finish(model.sample(given), ({ done, total }) => onStep?.({ stage: `sampling by ${scheduler}`, done, total }))
  } finally {
    await model.release()
  }
}

/** Measures a classifier's folder. */
export async function evaluateClassifier(
  folder: string,
  { num }: Pick<EvaluateOptions, 'num'>,
  { name, engine = {} }: EvaluateContext,
): Promise<ClassifierEvaluation> {
  const { data } = learntFrom(folder)
  const classifier = loadClassifier(folder, engine)
  try {
    return { model: name, ...(await measureClassifier(classifier, { data, num })) }
  } finally {
    await classifier.release()
  }
}
