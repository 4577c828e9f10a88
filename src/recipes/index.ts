import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { ArgumentError } from '../core/errors.ts'
import { type TrainingConfig, trainingSchema } from '../training/options.ts'
import type { TrainingJob } from '../training/run.ts'
import { ddpmJob, ddpmSchema } from './ddpm.ts'
import { ddpmStickers32 } from './ddpm-stickers-32.ts'

/** A bundled model as the numbers that make it: what `langevin train <name>` runs. */
export interface Recipe {
  readonly summary: string
  readonly ddpm: z.input<typeof ddpmSchema>
  readonly training: z.input<typeof trainingSchema>
}

export const recipes: Readonly<Record<string, Recipe>> = { 'ddpm-stickers-32': ddpmStickers32 }

const fileSchema = z.strictObject({
  ddpm: ddpmSchema,
  training: trainingSchema.partial().default({}),
})

/** A recipe by name, or from a JSON file of the same form: `{ "ddpm": { … }, "training": { … } }`. */
export function openRecipe(nameOrFile: string): Recipe {
  const known = recipes[nameOrFile]
  if (known) return known
  if (!nameOrFile.endsWith('.json')) {
    throw new ArgumentError(`no recipe "${nameOrFile}"; recipes: ${Object.keys(recipes).join(', ')}; or give a .json file`)
  }
  const parsed = fileSchema.safeParse(readJsonFile(nameOrFile))
  if (!parsed.success) {
    const faults = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'the file'}: ${message}`)
    throw new ArgumentError(`${nameOrFile} is no recipe:\n${faults.join('\n')}`)
  }
  return { summary: nameOrFile, ...parsed.data }
}

function readJsonFile(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new ArgumentError(`${file}: ${(cause as Error).message}`, { cause })
  }
}

/** The job and the flags of a recipe, with flags of one's own before it. */
export async function prepare(recipe: Recipe, given: Partial<TrainingConfig> = {}): Promise<{ job: TrainingJob; config: TrainingConfig }> {
  const config = trainingSchema.parse({ ...recipe.training, ...given })
  return { job: await ddpmJob(recipe.ddpm, { batchSize: config.train_batch_size, seed: config.seed }), config }
}
