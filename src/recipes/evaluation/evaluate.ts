import { existsSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { FolderError } from '../../checkpoints/index.ts'
import { readJson } from '../../checkpoints/json.ts'
import { ArgumentError } from '../../core/errors.ts'
import type { StickerDataset } from '../../data/index.ts'
import {
  finish,
  loadClassifier,
  loadPictureModel,
  loadScoreSde,
  modelFolder,
  type PictureSampler,
} from '../../pipelines/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { recipeFile } from '../../training/history.ts'
import { trainingSchema } from '../../training/options.ts'
import { type StickersConfig, stickersSchema } from '../data.ts'
import { factsFile } from '../facts.ts'
import type { RecipeJson } from '../open.ts'
import { type ScoreConfig, scoreSchema, scoreType } from '../tasks/score.ts'
import { drawnPictures } from './drawn.ts'
import { type Likelihood, type LikelihoodContext, measureLikelihood } from './likelihood.ts'
import { type EvaluateContext, type EvaluateOptions, stepsWithin } from './options.ts'
import { type ClassifierQuality, measureClassifier, measurePictures, type Nearest, type PictureQuality } from './quality.ts'

export interface DdpmEvaluation extends Pick<EvaluateOptions, 'seed' | 'scheduler' | 'classifier'>, PictureQuality {
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
function learntFrom(folder: string): { data: StickersConfig; sde?: ScoreConfig['sde']; recipe: RecipeJson } {
  const file = join(folder, recipeFile)
  if (!existsSync(file))
    throw new FolderError(folder, `has no ${recipeFile}, which training writes: it says what real pictures are to the model`)
  const recipe = readJson(file)
  const { data, sde } = recipe
  const parsed = stickersSchema.safeParse(data)
  if (!parsed.success)
    throw new ArgumentError(`${file}: only models of stickers can be measured, its data are ${JSON.stringify(data)}`)
  return { data: parsed.data, recipe, ...(recipe.recipe === scoreType.name ? { sde: scoreSchema.shape.sde.parse(sde) } : {}) }
}

/** Training pictures for each sample, of which the nearest is looked for. */
const GALLERY = 32

/** Steps of the run that a model comes from: as its folder says, or as its recipe planned. */
function stepsOf(folder: string, { training }: RecipeJson): number {
  const facts = join(folder, factsFile)
  return existsSync(facts) ? Number(readJson(facts).step) : trainingSchema.parse(training ?? {}).max_train_steps
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
  { batch, likelihood: counted, steps: asked, num, seed, scheduler, classifier: measuredBy }: EvaluateOptions,
  { name, engine = {}, signal, onStep }: EvaluateContext,
): Promise<{ evaluation: DdpmEvaluation; samples: NdArray<'f32'>; nearest: Nearest[]; gallery: StickerDataset }> {
  const { data, sde, recipe } = learntFrom(folder)
  const measure = modelFolder(measuredBy)
  const classifier = loadClassifier(measure)
  const steps = asked ?? defaultSteps(scheduler, folder)
  const watch = { engine, ...(signal ? { signal } : {}), ...(onStep ? { onStep } : {}) }
  const told = { num, seed, scheduler, ...(steps === undefined ? {} : { steps }) }
  try {
    const samples = await sampleFolder(folder, { num, seed, scheduler, batch, steps }, watch)
    const size = samples.shape[2] as number
    const count = GALLERY * num
    const gallery = await drawnPictures(recipe, { data, size, steps: stepsOf(folder, recipe), count })
    const { quality, nearest } = await measurePictures(samples, { data, classifier, name, gallery })
    const likelihood =
      sde && counted > 0 ? await likelihoodOf({ data, num: counted, seed, batch, end: sde.sampling_eps }) : undefined
    const evaluation = { model: name, ...told, classifier: basename(resolve(measure)), ...quality }
    return { evaluation: { ...evaluation, ...(likelihood ? { likelihood } : {}) }, samples, nearest, gallery: gallery.dataset }
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

function defaultSteps(scheduler: PictureSampler, folder: string): number | undefined {
  if (scheduler === 'ode') return undefined
  return scheduler === 'pc' || scheduler === 'sde' ? 200 : stepsWithin(folder, 50)
}

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
