import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { readJson } from '../../checkpoints/json.ts'
import { modelFolder } from '../../pipelines/index.ts'
import { pages } from '../../pipelines/registry.ts'
import { recipeFile } from '../../training/history.ts'
import type { ScenesConfig } from '../data.ts'
import { classToImageType } from '../tasks/class-to-image/job.ts'
import { controlnetType } from '../tasks/controlnet/job.ts'
import { isLanguageRecipe } from '../tasks/language/job.ts'
import { upscalerType } from '../tasks/upscaler/upscaler.ts'
import { videoVaeType } from '../tasks/video/autoencoder.ts'
import { isClassifier } from './evaluate.ts'
import { commonScenes, sceneModel } from './evaluate-scenes.ts'
import { isLaterStage } from './later-stage.ts'
import { partMeasures } from './parts.ts'

/** How a model is measured; `path` opens it. */
export type MeasuredAs = { readonly path: string } & (
  | { readonly as: 'text-to-image'; readonly data: ScenesConfig }
  /** An autoencoder, a CLIP or a judge of scenes. */
  | { readonly as: 'part'; readonly kind: string; readonly data: ScenesConfig }
  /** A ControlNet of scenes, with the model that it is for. */
  | { readonly as: 'control' }
  | { readonly as: 'classifier' }
  /** Pictures of stickers by class. */
  | { readonly as: 'classes' }
  /** Upscalers: one, or those that are at hand, beside resampling. */
  | { readonly as: 'upscalers'; readonly upscalers?: readonly string[] }
  /** Pictures without text. */
  | { readonly as: 'pictures' }
  /** Films of captions of motion. */
  | { readonly as: 'films' }
  /** An autoencoder of films. */
  | { readonly as: 'film-autoencoder' }
  /** A stage of a cascade that enlarges the pictures of a first one. */
  | { readonly as: 'later-stage' }
  /** Texts of a recipe's own. */
  | { readonly as: 'language' }
)

/** Whether a folder is of a recipe of stickers by class. */
export const isClassToImage = (folder: string): boolean =>
  existsSync(join(folder, recipeFile)) && readJson(join(folder, recipeFile)).recipe === classToImageType.name

const isFilmAutoencoder = (folder: string): boolean =>
  existsSync(join(folder, recipeFile)) && readJson(join(folder, recipeFile)).recipe === videoVaeType.name

const isLanguageModel = (folder: string): boolean =>
  existsSync(join(folder, recipeFile)) && isLanguageRecipe(readJson(join(folder, recipeFile)).recipe)

/** diffusers' pipelines that make pictures without text. */
const unconditional = ['DDPMPipeline', 'DDIMPipeline', 'PNDMPipeline', 'ScoreSdeVePipeline', 'KarrasVePipeline']

/**
 * What `langevin evaluate` measures of a model: a folder, a bundled model's name, a single file or a name on the hub; or `upscalers`, all of them.
 *
 * @throws FolderError where there is no such model
 */
export function measuredAs(model: string): MeasuredAs {
  if (model === 'upscalers' && !existsSync(model)) return { path: model, as: 'upscalers' }
  const onHub = !existsSync(model) && /^[\w.-]+\/[\w.-]+$/.test(model)
  if (onHub || (existsSync(model) && !statSync(model).isDirectory()))
    return { path: model, as: 'text-to-image', data: commonScenes() }
  const path = modelFolder(model)
  if (isClassToImage(path)) return { path, as: 'classes' }
  if (isFilmAutoencoder(path)) return { path, as: 'film-autoencoder' }
  if (isLanguageModel(path)) return { path, as: 'language' }
  if (isLaterStage(path)) return { path, as: 'later-stage' }
  const scenes = sceneModel(path)
  if (scenes?.kind === controlnetType.name) return { path, as: 'control' }
  if (scenes?.kind === upscalerType.name) return { path, as: 'upscalers', upscalers: [model] }
  if (scenes && Object.hasOwn(partMeasures, scenes.kind)) return { path, as: 'part', ...scenes }
  if (isClassifier(path)) return { path, as: 'classifier' }
  const className = String(readJson(join(path, 'model_index.json'))._class_name)
  if (unconditional.includes(className)) return { path, as: 'pictures' }
  if (pages.some(({ classes, output }) => output === 'frames' && classes.includes(className))) return { path, as: 'films' }
  return { path, as: 'text-to-image', data: scenes?.data ?? commonScenes() }
}
