import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readJson } from '../../checkpoints/json.ts'
import { recipeFile } from '../../training/history.ts'
import { type ScenesConfig, scenesSchema } from '../data.ts'
import { gridSampling } from '../tasks/text-to-image/fixed-prompts.ts'
import type { EvaluateContext, EvaluateOptions } from './evaluate.ts'
import { measureTextToImage, type PartQuality, partMeasures, type TextToImageQuality } from './scene-quality.ts'

export interface TextToImageEvaluation extends TextToImageQuality {
  readonly kind: 'text-to-image'
  readonly model: string
  readonly judge: string
  readonly steps: number
  readonly guidance: number
  readonly seed: number
}
export interface PartEvaluation extends PartQuality {
  /** The recipe's. */
  readonly kind: string
  readonly model: string
}

/** What a model of scenes is, as the recipe in its folder says; undefined for all others. */
export function sceneModel(folder: string): { readonly kind: string; readonly data: ScenesConfig } | undefined {
  const file = join(folder, recipeFile)
  if (!existsSync(file)) return undefined
  const { recipe, data } = readJson(file)
  const parsed = scenesSchema.safeParse(data)
  return typeof recipe === 'string' && parsed.success ? { kind: recipe, data: parsed.data } : undefined
}

/** The most captions. */
const CAPTIONS = 500
/** Strengths of guidance that are compared. */
const SWEEP = [1, 2, 3, 4, 5]

/** Measures a text-to-image model of scenes. */
export async function evaluateTextToImage(
  folder: string,
  data: ScenesConfig,
  { num, seed, batch, steps = gridSampling.steps, guidance, judge }: EvaluateOptions,
  { name, engine = {}, signal, onStep }: EvaluateContext,
) {
  const settings = { captions: Math.min(num, CAPTIONS), steps, guidance, seed, judge }
  const options = { ...settings, sweep: [...new Set([...SWEEP, guidance])].sort((a, b) => a - b), batch: Math.min(batch, 32) }
  const { quality, ...rest } = await measureTextToImage(folder, options, { name, data, engine, signal, onStep })
  const evaluation: TextToImageEvaluation = { kind: 'text-to-image', model: name, ...settings, ...quality }
  return { evaluation, ...rest }
}

/** Measures a part: an autoencoder, a CLIP, a judge. */
export async function evaluatePart(
  folder: string,
  { kind, data }: { readonly kind: string; readonly data: ScenesConfig },
  { num }: Pick<EvaluateOptions, 'num'>,
  { name, engine = {} }: EvaluateContext,
): Promise<PartEvaluation> {
  const measure = partMeasures[kind] as (typeof partMeasures)[string]
  return { kind, model: name, ...(await measure(folder, num, data, engine)) }
}
