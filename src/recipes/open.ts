import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { ArgumentError } from '../core/errors.ts'
import { inWords } from '../core/system-error.ts'
import { type TrainingConfig, trainingSchema } from '../training/options.ts'
import type { TrainingJob } from '../training/run.ts'
import { recipes } from './bundled/index.ts'
import { type JobContext, type Recipe, recipeOf, type TrainingFlags } from './recipe.ts'
import { recipeTypes } from './tasks/index.ts'

/** A recipe as its JSON file has it: its type, the type's fields, and `training`. */
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

/** @param source what errors call it, such as its file. @throws ArgumentError with every fault */
export function parseRecipe(json: unknown, source: string): Recipe {
  const { recipe: name, training = {}, ...config } = z.record(z.string(), z.unknown()).catch({}).parse(json)
  const type = recipeTypes.find((one) => one.name === name)
  if (!type) {
    const got = name === undefined ? 'is missing' : `is ${JSON.stringify(name)}`
    throw new ArgumentError(`${source}: recipe ${got}; expected one of ${recipeTypes.map((one) => one.name).join(', ')}`)
  }
  const file = z.strictObject({ ...type.schema.shape, training: trainingSchema.partial().strict() })
  const parsed = file.safeParse({ ...config, training })
  if (!parsed.success) {
    const faults = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'the file'}: ${message}`)
    throw new ArgumentError(`${source} is no recipe:\n${faults.join('\n')}`)
  }
  // As given: the schema would fill in defaults, which are the type's to choose.
  return recipeOf(type, { summary: source, config, training: training as TrainingFlags })
}

/** What a JSON file of this recipe and these flags holds. */
export function recipeJson({ type, config }: Recipe, { output_dir: _, ...training }: TrainingFlags): RecipeJson {
  return { recipe: type, ...config, training }
}

function readJsonFile(file: string): unknown {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ArgumentError(`${file}: ${inWords(cause)}`, { cause })
  }
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new ArgumentError(`${file}: not JSON: ${(cause as Error).message}`, { cause })
  }
}

/** The job and the flags of a recipe, with flags of one's own before it. */
export async function prepare(
  recipe: Recipe,
  given: TrainingFlags = {},
  watch: Pick<JobContext, 'onProgress' | 'warn'> = {},
): Promise<{ job: TrainingJob; config: TrainingConfig }> {
  const config = trainingSchema.parse({ ...recipe.training, ...given })
  const preview = { num: config.num_validation_images, steps: config.validation_num_inference_steps }
  const job = await recipe.job({ batchSize: config.train_batch_size, seed: config.seed, preview, ...watch })
  return { job: { ...job, recipe: recipeJson(recipe, config), complete: completeRecipe }, config }
}

/** A recipe's fields with their defaults, so that two spellings of one recipe compare as equal. */
export function completeRecipe({ recipe: name, training: _, ...config }: RecipeJson): RecipeJson {
  const type = recipeTypes.find((one) => one.name === name)
  return { recipe: name, ...(type ? type.schema.parse(config) : config) }
}
