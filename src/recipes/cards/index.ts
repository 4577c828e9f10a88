import { mkdirSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { saving, writeAll, writeAtomic } from '../../checkpoints/atomic.ts'
import { writeJson } from '../../checkpoints/json.ts'
import { ArgumentError } from '../../core/errors.ts'
import { loadClassifier, sdeSamplerNames } from '../../pipelines/index.ts'
import { recipeFile } from '../../training/history.ts'
import { recipes } from '../bundled/index.ts'
import { type StickersConfig, scenesSchema, stickersSchema } from '../data.ts'
import { evaluateClassToImage } from '../evaluation/class-to-image.ts'
import { evaluateClassifier, evaluateDdpm, isClassifier, sampleFolder } from '../evaluation/evaluate.ts'
import { isClassToImage } from '../evaluation/measured-as.ts'
import type { EvaluateContext, EvaluateOptions } from '../evaluation/options.ts'
import { parseRecipe, prepare, type RecipeJson } from '../open.ts'
import { isLanguageRecipe } from '../tasks/language/job.ts'
import { scoreType } from '../tasks/score.ts'
import { classToImageCard } from './class-to-image.ts'
import { classifierCard } from './classifier.ts'
import { wrapped, writeLossChart } from './common.ts'
import { filmsIn, publishFilms } from './films.ts'
import { publishLanguage } from './language.ts'
import { pictureCard, type SdeGrid } from './pictures.ts'
import { type RunFacts, readFacts, readRun, writeFacts } from './run.ts'
import { publishScenes } from './scenes.ts'

export interface PublishOptions extends Omit<EvaluateContext, 'name'> {
  readonly evaluate: EvaluateOptions
  /** Put behind the run's time, as what else the machine did. */
  readonly note?: string
  readonly warn?: (message: string) => void
}

/**
 * From a training run's folder to one that can be published: the model of the latest checkpoint, `recipe.json`, `training.json`, and a
 * card (`README.md`, `pictures/`, `evaluation.json`) that says how it was made and how good it is, measured on what is written.
 * From a published folder to the same folder: it is measured again, and its card written anew.
 *
 * @throws FolderError for a folder that is neither; ArgumentError for a model of anything but stickers, and for a published model
 *   that should go to another folder
 */
export async function publishRun(runDir: string, dir: string, options: PublishOptions): Promise<void> {
  const { note, warn = console.warn } = options
  const published = readFacts(runDir)
  if (published && resolve(runDir) !== resolve(dir))
    throw new ArgumentError(`${runDir} is a published model; its card is written anew in its own folder: --out ${runDir}`)
  if (published) return writeCard(dir, note === undefined ? published : { ...published, note }, undefined, options)

  const { weights, log, ...run } = readRun(runDir, warn)
  const source = join(runDir, recipeFile)
  if (!filmsIn(run.recipe) && !isLanguageRecipe(run.recipe.recipe)) dataOf(run.recipe, source)
  const { job } = await prepare(parseRecipe(run.recipe, source))
  const facts: RunFacts = { ...run, parameters: job.task.params.count, ...(note === undefined ? {} : { note }) }
  saving(dir, () => mkdirSync(join(dir, 'pictures'), { recursive: true }))
  await job.save(weights, dir)
  writeJson(join(dir, recipeFile), run.recipe)
  writeFacts(dir, facts)
  await writeLossChart(dir, basename(resolve(dir)), { ...run, log })
  return writeCard(dir, facts, await job.preview?.(weights), options)
}

/** What a model learnt from. @throws ArgumentError for anything but stickers */
function dataOf({ data }: RecipeJson, source: string) {
  const [scenes, stickers] = [scenesSchema.safeParse(data), stickersSchema.safeParse(data)]
  if (scenes.success) return { scenes: scenes.data }
  if (stickers.success) return { stickers: stickers.data }
  throw new ArgumentError(`${source}: cards are written for models of stickers only`)
}

/** @param preview a picture of what the weights can do; the one in the folder stays where there is none */
async function writeCard(
  dir: string,
  run: RunFacts,
  preview: Uint8Array | undefined,
  { evaluate, note: _, warn: __, ...context }: PublishOptions,
): Promise<void> {
  const name = basename(resolve(dir))
  const command = `langevin train ${Object.hasOwn(recipes, name) ? name : `${name}/${recipeFile}`}`
  const shared = { dir, name, run, command }
  if (filmsIn(run.recipe)) {
    if (preview) writeAtomic(join(dir, 'pictures', 'samples.png'), (fd) => writeAll(fd, preview))
    return publishFilms(shared, { ...context, evaluate })
  }
  if (isLanguageRecipe(run.recipe.recipe)) return publishLanguage(shared, { ...context, evaluate })
  const { scenes, stickers: data } = dataOf(run.recipe, join(dir, recipeFile))
  if (scenes) {
    if (preview) writeAtomic(join(dir, 'pictures', 'samples.png'), (fd) => writeAll(fd, preview))
    return publishScenes({ ...shared, data: scenes }, { ...context, evaluate })
  }
  if (isClassToImage(dir)) {
    if (preview) writeAtomic(join(dir, 'pictures', 'samples.png'), (fd) => writeAll(fd, preview))
    const found = await evaluateClassToImage(dir, evaluate, { ...context, name })
    writeJson(join(dir, 'evaluation.json'), { ...found.evaluation })
    return writeAtomic(join(dir, 'README.md'), wrapped(await classToImageCard({ ...shared, data }, found)))
  }
  writeAtomic(join(dir, 'README.md'), wrapped(isClassifier(dir) ? await ofClassifier(data) : await ofPictures(data)))

  async function ofPictures(data: StickersConfig): Promise<string> {
    const { evaluation, ...found } = await evaluateDdpm(dir, evaluate, { ...context, name })
    writeJson(join(dir, 'evaluation.json'), { ...evaluation })
    const grids = run.recipe.recipe === scoreType.name ? await sdeGrids(dir, evaluate, context) : []
    return pictureCard({ ...shared, data, evaluation, ...found, grids })
  }

  async function ofClassifier(data: StickersConfig): Promise<string> {
    const evaluation = await evaluateClassifier(dir, evaluate, { ...context, name })
    writeJson(join(dir, 'evaluation.json'), { ...evaluation })
    const { config } = loadClassifier(dir)
    const { sample_size: side, block_out_channels: widths, heads } = config
    return classifierCard({ ...shared, data, side, widths, heads, evaluation })
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
