import { ConfigError, FolderError, fromSingleFile, kindOf, openWeightFile } from '../../checkpoints/index.ts'
import type { SchedulerConfig } from '../../diffusion/index.ts'
import { dirname, existsSync, join } from '../../runtime/system.ts'
import type { ClassName } from './classes.ts'
import { type Stored, storedIn } from './network.ts'
import type { ModelSource, OpenOptions } from './source.ts'

/** A single-file checkpoint of Stable Diffusion 1, 2, XL or 3, or of DiT. @throws SafetensorsError, PickleError, SingleFileError */
export function fileSource(file: string, { tokenizer, prediction }: Pick<OpenOptions, 'tokenizer' | 'prediction'>): ModelSource {
  const { tensors } = openWeightFile(file)
  const single = fromSingleFile(tensors, file)
  const { pipeline, configs, options: fields, autoencoder, warnings } = kindOf(single, tensors)
  for (const warning of warnings) console.warn(`${file}: ${warning}`)
  // Files of Stable Diffusion 3 leave text encoders out, and sometimes the autoencoder; DiT's always: they lie where the vocabularies do.
  const beside = (name: string) => join(tokenizer ?? dirname(file), name)
  const elsewhere = (name: string) =>
    (single.family === 'sd3' || single.family === 'dit') &&
    !single.components.has(name) &&
    /^(vae|text_encoder(_[23])?)$/.test(name) &&
    existsSync(join(beside(name), 'config.json'))
  return {
    place: file,
    className: pipeline,
    fields,
    autoencoder,
    has: (name) => single.components.has(name) || elsewhere(name) || (name === 'low_res_scheduler' && pipeline === upscaler),
    network<N extends ClassName>(name: string, classes: readonly N[]): Stored<N> {
      if (elsewhere(name)) return storedIn(beside(name), classes, {}, classFor(name, classes))
      const weights = single.components.get(name)
      const config = configs[name]
      const place = `${file} (${name})`
      if (!weights || !config)
        throw new FolderError(
          place,
          single.family === 'dit'
            ? "is not in the file, which holds DiT's transformer alone: put the autoencoder's folder beside it, as vae/, or name one with --vae"
            : 'is not in the file: a whole checkpoint has it',
        )
      const text = weights.has('text_projection.weight') ? 'CLIPTextModelWithProjection' : 'CLIPTextModel'
      const className = (config._class_name ?? text) as N
      if (!classes.includes(className))
        throw new ConfigError(place, `is ${className}; expected ${classes.join(' or ')}`, { field: '_class_name' })
      return { className, config, weights: () => weights, place, configPlace: place }
    },
    scheduler: (name) =>
      name === 'low_res_scheduler'
        ? upscalerNoise
        : ({ ...configs.scheduler, ...(prediction && { prediction_type: prediction }) } as SchedulerConfig),
    tokenizer: (name) => tokenizerFolder(file, name, tokenizer),
    beside: (name) => join(dirname(file), name),
  }
}

/** The class of a network's folder whose config names only transformers' architectures, or none. */
const classFor = <N extends ClassName>(name: string, classes: readonly N[]): N | undefined =>
  name.startsWith('text_encoder') ? classes[0] : undefined

const upscaler = 'StableDiffusionUpscalePipeline'

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
  const holds = (dir: string) => ['vocab.json', 'tokenizer.json', 'spiece.model'].some((one) => existsSync(join(dir, one)))
  const found = [join(given, name), ...(name === 'tokenizer' ? [given] : [])].find(holds)
  if (found !== undefined) return found
  throw new FolderError(
    join(given, name),
    `no tokenizer here, and ${file} holds none: single files have no vocabulary. Give a folder with ${name}/ in it ` +
      "(vocab.json and merges.txt, tokenizer.json, or T5's spiece.model), such as any diffusers folder of the same family",
  )
}
