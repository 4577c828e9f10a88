import { mkdirSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { saving, writeAtomic } from '../../checkpoints/atomic.ts'
import { writeJson } from '../../checkpoints/json.ts'
import { ArgumentError } from '../../core/errors.ts'
import { loadClassifier, sdeSamplerNames } from '../../pipelines/index.ts'
import { recipeFile } from '../../training/history.ts'
import { recipes } from '../bundled/index.ts'
import { type StickersConfig, scenesSchema, stickersSchema } from '../data.ts'
import {
  type EvaluateContext,
  type EvaluateOptions,
  evaluateClassifier,
  evaluateDdpm,
  isClassifier,
  sampleFolder,
} from '../evaluation/evaluate.ts'
import { parseRecipe, prepare } from '../open.ts'
import { scoreType } from '../tasks/score.ts'
import { classifierCard } from './classifier.ts'
import { wrapped, writeLossChart } from './common.ts'
import { pictureCard, type SdeGrid } from './pictures.ts'
import { readRun } from './run.ts'
import { publishScenes } from './scenes.ts'

export interface PublishOptions extends Omit<EvaluateContext, 'name'> {
  readonly evaluate: EvaluateOptions
  /** Put behind the run's time, as what else the machine did. */
  readonly note?: string
  readonly warn?: (message: string) => void
}

/**
 * From a training run's folder to one that can be published: the model of the latest checkpoint, `recipe.json`, and a card
 * (`README.md`, `pictures/`, `evaluation.json`) that says how it was made and how good it is, measured on what is written.
 *
 * @throws FolderError for a folder that is no run's; ArgumentError for a model of anything but stickers
 */
export async function publishRun(runDir: string, dir: string, options: PublishOptions): Promise<void> {
  const { evaluate, note, warn = console.warn, ...context } = options
  const name = basename(resolve(dir))
  const run = readRun(runDir, warn)
  const place = join(runDir, recipeFile)
  const { job } = await prepare(parseRecipe(run.recipe, place))
  const scenes = scenesSchema.safeParse(run.recipe.data)
  const parsed = stickersSchema.safeParse(run.recipe.data)
  if (!parsed.success && !scenes.success) throw new ArgumentError(`${place}: cards are written for models of stickers only`)

  saving(dir, () => mkdirSync(join(dir, 'pictures'), { recursive: true }))
  await job.save(run.weights, dir)
  writeJson(join(dir, recipeFile), run.recipe)
  await writeLossChart(dir, name, run)

  const command = `langevin train ${Object.hasOwn(recipes, name) ? name : `${name}/${recipeFile}`}`
  const known = { dir, name, run, parameters: job.task.params.count, command, note }
  if (scenes.success) return publishScenes({ ...known, data: scenes.data }, job, { ...context, evaluate })
  const shared = { ...known, data: (parsed as { data: StickersConfig }).data }
  const card = isClassifier(dir) ? await ofClassifier() : await ofPictures()
  writeAtomic(join(dir, 'README.md'), wrapped(card))

  async function ofPictures(): Promise<string> {
    const { evaluation, ...found } = await evaluateDdpm(dir, evaluate, { ...context, name })
    writeJson(join(dir, 'evaluation.json'), { ...evaluation })
    const grids = run.recipe.recipe === scoreType.name ? await sdeGrids(dir, evaluate, context) : []
    return pictureCard({ ...shared, evaluation, ...found, grids })
  }

  async function ofClassifier(): Promise<string> {
    const evaluation = await evaluateClassifier(dir, evaluate, { ...context, name })
    writeJson(join(dir, 'evaluation.json'), { ...evaluation })
    const { config } = loadClassifier(dir)
    const { sample_size: side, block_out_channels: widths, heads } = config
    return classifierCard({ ...shared, side, widths, heads, evaluation })
  }
}

/** Samples of a score SDE by each of its samplers, from one seed. */
async function sdeGrids(
  dir: string,
  { num, seed, batch, steps: asked = 200 }: EvaluateOptions,
  context: Omit<EvaluateContext, 'name'>,
): Promise<SdeGrid[]> {
  const grids: SdeGrid[] = []
  for (const scheduler of sdeSamplerNames) {
    const steps = scheduler === 'ode' ? undefined : asked
    const samples = await sampleFolder(dir, { num: Math.min(64, num), seed, batch, scheduler, steps }, context)
    grids.push({ scheduler, steps, samples })
  }
  return grids
}
