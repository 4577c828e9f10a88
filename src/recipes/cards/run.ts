import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { FolderError } from '../../checkpoints/index.ts'
import { readJson, writeJson } from '../../checkpoints/json.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { Environment } from '../../runtime/node/environment.ts'
import { readHistory, recipeFile } from '../../training/history.ts'
import { checkpointWeights, latestCheckpoint } from '../../training/index.ts'
import { picturesPerStep, trainingSchema } from '../../training/options.ts'
import { environmentFile } from '../../training/run.ts'
import { factsFile } from '../facts.ts'
import type { RecipeJson } from '../open.ts'

/** A row of `log.csv`: numbers by column, NaN where the cell is empty. */
export type LogRow = Readonly<Record<string, number>>

/** Steps of a run that one recipe made. */
export interface RunStretch {
  readonly recipe: RecipeJson
  /** The last step before them. */
  readonly from: number
  /** Their last one. */
  readonly to: number
  /** Pictures of a step. */
  readonly batch: number
}

/** What a card says of a training run. */
export interface RunFacts {
  readonly step: number
  readonly recipe: RecipeJson
  readonly environment: Environment
  /** The last is the recipe's. */
  readonly stretches: readonly RunStretch[]
  /** That the logged steps took, the time for samples and checkpoints left aside. */
  readonly seconds: number
  readonly loggedSteps: number
  /** Those that learnt. */
  readonly parameters: number
  /** Put behind the run's time, as what else the machine did. */
  readonly note?: string | undefined
}

/** What a training run has left in its folder. */
export interface Run extends Omit<RunFacts, 'parameters' | 'note'> {
  /** Averaged where the run keeps an average. */
  readonly weights: ReadonlyMap<string, NdArray>
  /** Steps up to the checkpoint's. */
  readonly log: readonly LogRow[]
}

export function writeFacts(dir: string, { recipe: _, ...facts }: RunFacts): void {
  const stretches = facts.stretches.slice(0, -1)
  writeJson(join(dir, factsFile), { ...facts, batch: facts.stretches.at(-1)?.batch, stretches })
}

/** The facts of the run that a published model comes from; none where the folder is no such model's. */
export function readFacts(dir: string): RunFacts | undefined {
  if (!existsSync(join(dir, factsFile)) || !existsSync(join(dir, recipeFile))) return undefined
  const recipe = readJson(join(dir, recipeFile))
  const { batch, stretches, ...facts } = readJson(join(dir, factsFile)) as unknown as Omit<RunFacts, 'recipe'> & { batch: number }
  const from = stretches.at(-1)?.to ?? 0
  return { ...facts, recipe, stretches: [...stretches, { recipe, from, to: facts.step, batch }] }
}

/** @throws FolderError for a folder that is no run's, or has no checkpoint yet */
export function readRun(dir: string, warn: (message: string) => void): Run {
  for (const name of [recipeFile, environmentFile, 'log.csv'])
    if (!existsSync(join(dir, name))) throw new FolderError(dir, `has no ${name}; expected the output folder of langevin train`)
  const checkpoint = latestCheckpoint(dir, warn)
  if (!checkpoint) throw new FolderError(dir, 'has no checkpoint that reads whole: train on, or from the start')
  const log = parseLog(readFileSync(join(dir, 'log.csv'), 'utf8')).filter(({ step }) => (step as number) <= checkpoint.step)
  return {
    step: checkpoint.step,
    weights: checkpointWeights(checkpoint),
    recipe: readJson(join(dir, recipeFile)),
    environment: readJson(join(dir, environmentFile)) as Environment,
    stretches: readHistory(dir)
      .filter(({ from }) => from < checkpoint.step)
      .map(({ from, recipe }, i, all) => ({ recipe, from, to: all[i + 1]?.from ?? checkpoint.step, batch: picturesOf(recipe) })),
    seconds: secondsOf(log),
    loggedSteps: log.length,
    log,
  }
}

const picturesOf = (recipe: RecipeJson): number => picturesPerStep(trainingSchema.parse(recipe.training))

/** Rows of a CSV file of numbers. */
export function parseLog(text: string): LogRow[] {
  const [heads = '', ...lines] = text.trim().split('\n')
  const columns = heads.split(',')
  return lines.map((line) => {
    const cells = line.split(',')
    return Object.fromEntries(columns.map((column, i) => [column, cells[i] ? Number(cells[i]) : NaN]))
  })
}

/** Seconds that a run's steps took, the time for samples and checkpoints left aside. */
export const secondsOf = (log: readonly LogRow[]): number => log.reduce((sum, { seconds = 0 }) => sum + seconds, 0)
