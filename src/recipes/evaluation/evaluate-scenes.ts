import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readJson } from '../../checkpoints/json.ts'
import { recipeFile } from '../../training/history.ts'
import { recipes } from '../bundled/index.ts'
import { type ScenesConfig, scenesSchema } from '../data.ts'
import { HELD_OUT } from '../held-out.ts'
import { gridSampling } from '../tasks/text-to-image/fixed-prompts.ts'
import { type CandidateQuality, measureCandidates } from './candidates.ts'
import { type EvaluateContext, type EvaluateOptions, stepsWithin } from './options.ts'
import type { PartQuality } from './part-quality.ts'
import { partMeasures } from './parts.ts'
import { measureTextToImage, type TextToImageQuality } from './text-to-image.ts'
import { isDalle, measureTokens, type TokenQuality } from './tokens.ts'

export interface TextToImageEvaluation extends TextToImageQuality {
  readonly kind: 'text-to-image'
  readonly model: string
  readonly judge: string
  readonly steps: number
  readonly seed: number
  /** Of a DALL·E: what its captions tell of image tokens. */
  readonly tokens?: TokenQuality
  /** Pictures that CLIP chose of more and more candidates. */
  readonly candidates?: CandidateQuality
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

/** Strengths of guidance that are compared. */
const SWEEP = [1, 2, 3, 4, 5]

/** The scenes that models are measured on that did not learn from scenes of their own: those of the bundled text-to-image model. */
export const commonScenes = (): ScenesConfig => scenesSchema.parse(recipes['stickers-t2i']?.config.data)

/**
 * Measures any model that makes pictures from text, on scenes that its training did not show.
 *
 * @param model a folder, or what else `loadPipeline` opens
 */
export async function evaluateTextToImage(
  model: string,
  data: ScenesConfig,
  { num, validation, seed, batch, steps = stepsWithin(model, gridSampling.steps), guidance, judge, ...more }: EvaluateOptions,
  { name, engine = {}, signal, onStep }: EvaluateContext,
) {
  const settings = { steps, seed, judge }
  const sweep = [...new Set([...SWEEP, ...(guidance === undefined ? [] : [guidance])])].sort((a, b) => a - b)
  const options = { ...settings, captions: Math.min(num, HELD_OUT), validation, guidance, sweep, batch: Math.min(batch, 32) }
  const { quality, ...rest } = await measureTextToImage(model, options, { name, data, engine, signal, onStep })
  const { candidates: most, rank } = more
  const chosen = { guidance: quality.guidance, seed, judge, steps, batch: options.batch, rank, most }
  const evaluation: TextToImageEvaluation = {
    ...{ kind: 'text-to-image', model: name, ...settings, ...quality },
    ...(isDalle(model) && { tokens: await measureTokens(model, options.captions, data, engine) }),
    ...(most > 0 && { candidates: await measureCandidates(model, options.captions, chosen, { data, engine, signal, onStep }) }),
  }
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
