import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import {
  type Component,
  ConfigError,
  FolderError,
  fromSingleFile,
  type HubOptions,
  kindOf,
  loadConfig,
  openSafetensors,
  openWeights,
  readModelIndex,
  resolveModel,
} from '../../checkpoints/index.ts'
import { type SchedulerConfig, schedulerFromConfig } from '../../diffusion/index.ts'
import type { Weights } from '../../runtime/weights.ts'
import { ClipTokenizer } from '../../text/index.ts'
import { bundledModels, modelFolder } from '../zoo.ts'
import { families } from './families.ts'
import { type Autoencoder, autoencoderOf, type Components, type Stored, textEncoderOf, unetOf } from './parts.ts'
import { imageEncoderIn } from './vision.ts'

export interface OpenOptions {
  /** As `fp16`: which of a folder's weights. */
  readonly variant?: string | undefined
  /**
   * For single files, which hold no vocabulary: a folder with the tokenizer's files, or with `tokenizer/` (and `tokenizer_2/`), as
   * any diffusers folder of the family has them. By default the folder that the file is in.
   */
  readonly tokenizer?: string | undefined
  /** Another autoencoder than the checkpoint's: its folder, or its name on the hub. */
  readonly vae?: string | undefined
  /** For single files of Stable Diffusion 2, which do not say what they predict. */
  readonly prediction?: 'epsilon' | 'v_prediction' | undefined
  readonly hub?: HubOptions
}

/**
 * Opens a checkpoint of Stable Diffusion: a folder in diffusers' layout, a single file of the original's, a bundled model, or a
 * name on the hub. No weight is read yet, but every key and shape is held against its network.
 *
 * @throws FolderError, ConfigError, ModelConfigError, CheckpointError, SafetensorsError, PickleError, SchedulerConfigError,
 * HubError: what is wrong with which file
 */
export async function openComponents(model: string, options: OpenOptions = {}): Promise<Components> {
  const { kind, path } =
    !existsSync(model) && bundledModels().includes(model)
      ? ({ kind: 'folder', path: modelFolder(model) } as const)
      : await resolveModel(model, hubOptions(options))
  const components = kind === 'file' ? openFile(path, options) : openFolder(path, options)
  return options.vae === undefined ? components : { ...components, vae: await openAutoencoder(options.vae, options) }
}

/** What the hub is asked for. */
export const hubOptions = ({ variant, hub = {} }: OpenOptions): HubOptions => ({
  ...hub,
  ...(variant !== undefined && { variant }),
})

async function openAutoencoder(model: string, options: OpenOptions): Promise<Autoencoder> {
  const { kind, path } = await resolveModel(model, hubOptions(options))
  if (kind === 'file') throw new FolderError(path, "is a file; an autoencoder opens as a folder in diffusers' layout")
  return autoencoderOf(storedIn(path, classes.vae as string[], options))
}

/** One network's folder. */
function storedIn(place: string, known: readonly string[], { variant }: OpenOptions, className?: string): Stored {
  const config = loadConfig(place)
  const own = className ?? config._class_name ?? ''
  if (!known.includes(own)) {
    throw new ConfigError(join(place, 'config.json'), `is ${own || 'none'}; expected ${known.join(' or ')}`, {
      field: '_class_name',
    })
  }
  return { className: own, config, weights: openWeights(place, variant === undefined ? {} : { variant }), place }
}

/** Classes that each component may have. */
const classes: Readonly<Record<string, readonly string[]>> = {
  unet: ['UNet2DConditionModel'],
  vae: ['AutoencoderKL', 'AutoencoderTiny', 'VQModel'],
  text_encoder: ['CLIPTextModel', 'CLIPTextModelWithProjection'],
  text_encoder_2: ['CLIPTextModelWithProjection'],
  tokenizer: ['CLIPTokenizer', 'CLIPTokenizerFast'],
  tokenizer_2: ['CLIPTokenizer', 'CLIPTokenizerFast'],
  image_encoder: ['CLIPVisionModelWithProjection'],
}

function openFolder(dir: string, options: OpenOptions): Components {
  const file = join(dir, 'model_index.json')
  if (!existsSync(file)) {
    throw new FolderError(dir, 'has no model_index.json; expected what save_pretrained of a Stable Diffusion pipeline writes')
  }
  const { _class_name: className, components, options: fields } = readModelIndex(dir)
  if (!Object.hasOwn(families, className)) {
    const known = Object.keys(families).join(', ')
    throw new ConfigError(file, `is ${className}; pictures from prompts come from ${known}`, { field: '_class_name' })
  }
  const part = (name: string): Component => {
    const found = components.get(name)
    if (!found) throw new ConfigError(file, `lacks this component of a ${className}`, { field: name })
    const known = classes[name]
    if (known && !known.includes(found.className))
      throw new ConfigError(file, `is ${found.className}; expected ${known.join(' or ')}`, { field: name })
    if (!existsSync(join(dir, name))) throw new FolderError(join(dir, name), `no such folder, which ${file} names`)
    return found
  }
  const stored = (name: string): Stored => storedIn(join(dir, name), classes[name] ?? [], options, part(name).className)
  const text = ['', '_2'].flatMap((suffix) => {
    const name = `text_encoder${suffix}`
    if (!components.get(name)) return []
    part(`tokenizer${suffix}`)
    return [textEncoderOf(name, stored(name), ClipTokenizer.open(join(dir, `tokenizer${suffix}`)))]
  })
  const sees = components.get('image_encoder') && part('image_encoder')
  if (text.length === 0) part(families[className]?.task === 'variation' ? 'image_encoder' : 'text_encoder')
  const lowRes = components.get('low_res_scheduler')
  return {
    place: dir,
    className,
    options: fields,
    unet: unetOf(stored('unet')),
    vae: autoencoderOf(stored('vae')),
    text,
    imageEncoder: sees ? imageEncoderIn(join(dir, 'image_encoder'), options, join(dir, 'feature_extractor')) : undefined,
    scheduler: schedulerOf(dir, 'scheduler', part('scheduler').className),
    lowResScheduler: lowRes ? schedulerOf(dir, 'low_res_scheduler', lowRes.className) : undefined,
  }
}

/** A scheduler's config, held against its class at once. */
function schedulerOf(dir: string, name: string, className: string): SchedulerConfig {
  const config = { ...loadConfig(join(dir, name), 'scheduler_config.json'), _class_name: className }
  schedulerFromConfig(config)
  return config
}

function openFile(file: string, { tokenizer, prediction }: OpenOptions): Components {
  const { tensors } = openSafetensors(file)
  const single = fromSingleFile(tensors, file)
  const { pipeline, configs } = kindOf(single, tensors)
  const stored = (name: string, className: string): Stored => {
    const weights: Weights | undefined = single.components.get(name)
    const place = `${file} (${name})`
    if (!weights || !configs[name]) throw new FolderError(place, 'is not in the file: a whole checkpoint has it')
    return { className, config: configs[name], weights, place }
  }
  const text = [...single.components.keys()].filter((name) => name.startsWith('text_encoder')).sort()
  if (text.length === 0) stored('text_encoder', 'CLIPTextModel')
  const tokenizers = text.map((name) => tokenizerFolder(file, name.replace('text_encoder', 'tokenizer'), tokenizer))
  const scheduler = { ...configs.scheduler, ...(prediction && { prediction_type: prediction }) } as SchedulerConfig
  return {
    place: file,
    className: pipeline,
    options: { requires_aesthetics_score: single.family === 'xl-refiner' },
    unet: unetOf(stored('unet', 'UNet2DConditionModel')),
    vae: autoencoderOf(stored('vae', 'AutoencoderKL')),
    text: text.map((name, i) => {
      const projected = single.components.get(name)?.has('text_projection.weight')
      const own = stored(name, projected ? 'CLIPTextModelWithProjection' : 'CLIPTextModel')
      return textEncoderOf(name, own, ClipTokenizer.open(tokenizers[i] as string))
    }),
    scheduler,
    lowResScheduler: pipeline === 'StableDiffusionUpscalePipeline' ? upscalerNoise : undefined,
  }
}

/** The published ×4 upscaler's. */
const upscalerNoise: SchedulerConfig = {
  _class_name: 'DDPMScheduler',
  beta_schedule: 'squaredcos_cap_v2',
  beta_start: 0.0001,
  beta_end: 0.02,
  num_train_timesteps: 1000,
  clip_sample: true,
}

/** A single file holds no vocabulary: `tokenizer/` beside it, or in the folder that is given, or that folder itself. */
function tokenizerFolder(file: string, name: string, given = dirname(file)): string {
  const holds = (dir: string) => existsSync(join(dir, 'vocab.json')) || existsSync(join(dir, 'tokenizer.json'))
  const found = [join(given, name), ...(name === 'tokenizer' ? [given] : [])].find(holds)
  if (found !== undefined) return found
  throw new FolderError(
    join(given, name),
    `no tokenizer here, and ${file} holds none: single files have no vocabulary. Give a folder with ${name}/ in it ` +
      '(vocab.json and merges.txt, or tokenizer.json), such as any diffusers folder of the same family',
  )
}
