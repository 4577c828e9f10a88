import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { ArgumentError } from '../core/errors.ts'
import { type TrainingConfig, trainingSchema } from '../training/options.ts'
import type { TrainingJob } from '../training/run.ts'
import { ddpmFaces32 } from './bundled/ddpm-faces-32.ts'
import { ddpmStickers32 } from './bundled/ddpm-stickers-32.ts'
import { scoreStickers32 } from './bundled/score-stickers-32.ts'
import { stickerClassifier32 } from './bundled/sticker-classifier-32.ts'
import { stickersClip } from './bundled/stickers-clip.ts'
import { stickersJudge } from './bundled/stickers-judge.ts'
import { stickersT2i } from './bundled/stickers-t2i.ts'
import { stickersVae } from './bundled/stickers-vae.ts'
import { type Recipe, type RecipeKind, recipeOf, type TrainingFlags } from './recipe.ts'
import { vaeKind } from './tasks/autoencoder/autoencoder.ts'
import { classifierKind } from './tasks/classifier.ts'
import { clipKind } from './tasks/clip.ts'
import { ddpmKind } from './tasks/ddpm.ts'
import { heartbeat, heartbeatKind } from './tasks/heartbeat.ts'
import { judgeKind } from './tasks/judge.ts'
import { scoreKind } from './tasks/score.ts'
import { swissRoll, swissRollKind } from './tasks/swiss-roll.ts'
import { textToImageKind } from './tasks/text-to-image/job.ts'

export {
  type ClassifierEvaluation,
  type DdpmEvaluation,
  type EvaluateContext,
  type EvaluateOptions,
  evaluateClassifier,
  evaluateDdpm,
  evaluateOptions,
} from './evaluation/evaluate.ts'
export { fitGaussian, frechetDistance, frechetTo, type GaussianFit } from './evaluation/frechet.ts'
export {
  type ClassifierQuality,
  type Distance,
  measureClassifier,
  measurePictures,
  type Nearest,
  nearestRows,
  type PictureQuality,
  type SetQuality,
} from './evaluation/quality.ts'
export { type JobContext, type Recipe, type RecipeKind, recipeOf, type TrainingFlags } from './recipe.ts'

/** The kinds of models that can be trained. */
export const kinds: readonly RecipeKind[] = [
  ddpmKind,
  scoreKind,
  classifierKind,
  vaeKind,
  clipKind,
  textToImageKind,
  judgeKind,
  swissRollKind,
  heartbeatKind,
]

/** The bundled models, by name. */
export const recipes: Readonly<Record<string, Recipe>> = {
  'ddpm-stickers-32': ddpmStickers32,
  'ddpm-faces-32': ddpmFaces32,
  'score-stickers-32': scoreStickers32,
  'sticker-classifier-32': stickerClassifier32,
  'stickers-vae': stickersVae,
  'stickers-clip': stickersClip,
  'stickers-t2i': stickersT2i,
  'stickers-judge': stickersJudge,
  'swiss-roll': swissRoll,
  heartbeat,
}

/** A recipe as its JSON file has it: the kind, the kind's fields, and `training`. */
export type RecipeJson = Readonly<Record<string, unknown>>

/** A recipe by name, or from a JSON file: `{ "recipe": "ddpm", "data": { … }, "unet": { … }, "training": { … } }`. */
export function openRecipe(nameOrFile: string): Recipe {
  const known = Object.hasOwn(recipes, nameOrFile) ? recipes[nameOrFile] : undefined
  if (known) return known
  if (!nameOrFile.endsWith('.json')) {
    throw new ArgumentError(`no recipe "${nameOrFile}"; recipes: ${Object.keys(recipes).join(', ')}; or give a .json file`)
  }
  return parseRecipe(readJsonFile(nameOrFile), nameOrFile)
}

/** @param place what errors call it, such as its file. @throws ArgumentError with every fault */
export function parseRecipe(json: unknown, place: string): Recipe {
  const { recipe: name, training = {}, ...config } = z.record(z.string(), z.unknown()).catch({}).parse(json)
  const kind = kinds.find((one) => one.name === name)
  if (!kind) {
    const got = name === undefined ? 'is missing' : `is ${JSON.stringify(name)}`
    throw new ArgumentError(`${place}: recipe ${got}; expected one of ${kinds.map((one) => one.name).join(', ')}`)
  }
  const file = z.strictObject({ ...kind.schema.shape, training: trainingSchema.partial().strict() })
  const parsed = file.safeParse({ ...config, training })
  if (!parsed.success) {
    const faults = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'the file'}: ${message}`)
    throw new ArgumentError(`${place} is no recipe:\n${faults.join('\n')}`)
  }
  // As given: the schema would fill in defaults, which are the kind's to choose.
  return recipeOf(kind, { summary: place, config, training: training as TrainingFlags })
}

/** What a JSON file of this recipe and these flags holds. */
export function recipeJson({ kind, config }: Recipe, { output_dir: _, ...training }: TrainingFlags): RecipeJson {
  return { recipe: kind, ...config, training }
}

function readJsonFile(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new ArgumentError(`${file}: ${(cause as Error).message}`, { cause })
  }
}

/** The job and the flags of a recipe, with flags of one's own before it. */
export async function prepare(recipe: Recipe, given: TrainingFlags = {}): Promise<{ job: TrainingJob; config: TrainingConfig }> {
  const config = trainingSchema.parse({ ...recipe.training, ...given })
  const job = await recipe.job({ batchSize: config.train_batch_size, seed: config.seed })
  return { job: { ...job, recipe: recipeJson(recipe, config) }, config }
}
