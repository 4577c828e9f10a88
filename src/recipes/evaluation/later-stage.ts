import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { FolderError } from '../../checkpoints/index.ts'
import { readJson } from '../../checkpoints/json.ts'
import { bundledModels, modelFolder } from '../../pipelines/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { recipeFile } from '../../training/history.ts'
import { imagenType } from '../tasks/imagen/job.ts'
import { type ComparedModel, type Comparison, openComparison } from './compare.ts'
import type { EvaluateContext, EvaluateOptions } from './options.ts'
import { nameOf } from './provenance.ts'

interface StageRecipe {
  readonly recipe?: unknown
  readonly resolution?: number
  readonly low_resolution?: number
  readonly references?: unknown
}

const recipeIn = (folder: string): StageRecipe =>
  existsSync(join(folder, recipeFile)) ? (readJson(join(folder, recipeFile)) as StageRecipe) : {}

/** Whether a folder is of a stage of Imagen that enlarges. */
export const isLaterStage = (folder: string): boolean => {
  const { recipe, low_resolution: low } = recipeIn(folder)
  return recipe === imagenType.name && low !== undefined
}

/** The first stage whose pictures a later one enlarges: bundled, or in a folder beside. @throws FolderError where none is there */
function firstStageOf(folder: string): string {
  const { low_resolution: low } = recipeIn(folder)
  const near = [dirname(resolve(folder)), dirname(dirname(resolve(folder)))]
  const candidates = [...near.map((dir) => join(dir, 'stickers-imagen')), ...bundledModels().map(modelFolder)]
  const found = candidates
    .flatMap((dir) => [dir, join(dir, 'model')])
    .find((dir) => {
      const { recipe, resolution, low_resolution: lower, references } = recipeIn(dir)
      return recipe === imagenType.name && resolution === low && lower === undefined && references === undefined
    })
  if (!found) throw new FolderError(folder, `enlarges pictures of ${low} pixels, and no first stage that makes them is bundled`)
  return found
}

export interface StageEvaluation {
  readonly model: string
  /** The first stage. */
  readonly after: string
  readonly captions: number
  readonly seed: number
  readonly judge: string
  /** Of this stage. */
  readonly steps: number
  readonly real: Comparison['real']
  /** The first stage's pictures as they are, and enlarged by this one. */
  readonly small: ComparedModel
  readonly large: ComparedModel
}

/** How often captions come true in pictures of a first stage, and in the same enlarged by a later one. */
export async function evaluateStage(
  folder: string,
  { num, seed, batch, steps = 20, judge, rank }: EvaluateOptions,
  { name, ...context }: EvaluateContext,
): Promise<{ readonly evaluation: StageEvaluation; readonly pictures: NdArray<'f32'>; readonly captions: readonly string[] }> {
  const before = firstStageOf(folder)
  const after = nameOf(before)
  const comparison = await openComparison({ num, validation: 0, seed, batch, judge, rank, steps: 20 }, context)
  try {
    const small = await comparison.measure({ name: after, stages: [{ model: before }] })
    const large = await comparison.measure({
      name: `${after} + ${name}`,
      stages: [{ model: before }, { model: folder, options: { steps } }],
    })
    const shared = { model: name, after, captions: comparison.captions.length, seed, judge, steps, real: comparison.real }
    return {
      evaluation: { ...shared, small: small.model, large: large.model },
      pictures: large.pictures,
      captions: comparison.captions,
    }
  } finally {
    await comparison.release()
  }
}
