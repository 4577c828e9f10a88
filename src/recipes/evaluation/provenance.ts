import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { FolderError, openWeights } from '../../checkpoints/index.ts'
import { readJson } from '../../checkpoints/json.ts'
import { sizeOf } from '../../core/shape.ts'
import type { Environment } from '../../runtime/node/environment.ts'
import { recipeFile } from '../../training/history.ts'
import { trainingSchema } from '../../training/options.ts'
import { environmentFile } from '../../training/run.ts'
import { recipes } from '../bundled/index.ts'
import { parseLog, readFacts, secondsOf } from '../cards/run.ts'
import { completeRecipe, type RecipeJson } from '../open.ts'
import { trainedModel } from '../stored.ts'

/** What the training of one model took. */
export interface Effort {
  readonly name: string
  /** Hours of one core, of all its steps; undefined where nothing says it. */
  readonly coreHours?: number | undefined
}

/** What a model is made of, and what making it took. */
export interface Provenance {
  /** In its folders; none of a model that is no folder. */
  readonly parameters?: number | undefined
  /** The types of its recipes, in the order of its stages; none of a model without a recipe. */
  readonly recipes: readonly string[]
  readonly own: readonly Effort[]
  /** Models that had to be trained first, each once. */
  readonly before: readonly Effort[]
}

/** What is known of a model of one or several folders. */
export function provenanceOf(folders: readonly string[]): Provenance {
  const known = folders.filter((folder) => existsSync(join(folder, recipeFile)))
  const found = new Map<string, Effort>()
  const own = known.map((folder) => ({ name: nameOf(folder), coreHours: coreHoursOf(folder) }))
  for (const folder of known) collect(folder, found)
  for (const { name } of own) found.delete(name)
  const counts = folders.map(parametersIn)
  return {
    ...(counts.every((count) => count !== undefined) && { parameters: shared(counts) }),
    recipes: known.map((folder) => String(readJson(join(folder, recipeFile)).recipe)),
    own,
    before: [...found.values()],
  }
}

/** A folder's name; of a training run's model that of the run. */
export const nameOf = (folder: string): string =>
  basename(resolve(folder)) === 'model' ? basename(dirname(resolve(folder))) : basename(resolve(folder))

/** All models that a recipe names, and those that theirs name. */
function collect(folder: string, found: Map<string, Effort>): void {
  for (const name of namesIn(completeRecipe(readJson(join(folder, recipeFile)) as RecipeJson))) {
    if (found.has(name)) continue
    const path = trainedOrNone(name)
    found.set(name, { name, coreHours: path === undefined ? undefined : coreHoursOf(path) })
    if (path !== undefined && existsSync(join(path, recipeFile))) collect(path, found)
  }
}

/** Bundled recipes' names among a recipe's values, however deep. */
function namesIn(value: unknown): string[] {
  if (typeof value === 'string') return Object.hasOwn(recipes, value) ? [value] : []
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(namesIn) : []
}

function trainedOrNone(name: string): string | undefined {
  try {
    return trainedModel(name)
  } catch (error) {
    if (error instanceof FolderError) return undefined
    throw error
  }
}

/** By what a published model's folder says, or the log of the run that a model's folder lies in. */
function coreHoursOf(folder: string): number | undefined {
  const facts = readFacts(folder)
  if (facts) return hours((facts.seconds * facts.step) / facts.loggedSteps, facts.recipe, facts.environment)
  const run = dirname(resolve(folder))
  const [log, environment] = [join(run, 'log.csv'), join(run, environmentFile)]
  if (!existsSync(log) || !existsSync(environment)) return undefined
  const recipe = readJson(join(folder, recipeFile)) as RecipeJson
  return hours(secondsOf(parseLog(readFileSync(log, 'utf8'))), recipe, readJson(environment) as Environment)
}

/** @returns undefined for what a GPU trained */
function hours(seconds: number, { training = {} }: RecipeJson, { cpu }: Pick<Environment, 'cpu'>): number | undefined {
  const { num_processes: processes, threads, device } = trainingSchema.parse(training)
  if (device !== 'cpu') return undefined
  const each = threads > 0 ? threads : Math.ceil(cpu.cores / processes)
  return (seconds / 3600) * Math.min(cpu.cores, processes * each)
}

/** Parameters by part. */
function parametersIn(folder: string): ReadonlyMap<string, number> | undefined {
  if (!existsSync(folder)) return undefined
  const parts = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const counted = parts.flatMap(({ name }) => {
    const dir = join(folder, name)
    if (!readdirSync(dir).some((file) => file.endsWith('.safetensors'))) return []
    return [[name, [...openWeights(dir).values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0)] as const]
  })
  return new Map(counted)
}

/** Stages of a cascade that read their captions by the same network have it once. */
function shared(counts: readonly ReadonlyMap<string, number>[]): number {
  const [first = new Map<string, number>(), ...later] = counts
  const sum = (values: Iterable<number>) => [...values].reduce((all, one) => all + one, 0)
  const beside = later.flatMap((parts) =>
    [...parts].flatMap(([name, count]) => (name.startsWith('text_encoder') && first.get(name) === count ? [] : [count])),
  )
  return sum(first.values()) + sum(beside)
}
