import { ConfigError, FolderError, loadConfig, openWeightFile } from '../../checkpoints/index.ts'
import { isObject } from '../../checkpoints/json.ts'
import { glideUpsampler } from '../../models/index.ts'
import { existsSync, join } from '../../runtime/system.ts'
import type { ClassName } from './classes.ts'
import type { Stored } from './network.ts'
import type { ModelSource } from './source.ts'

/** The files of OpenAI's release by what they are, each under the names that its program knows it by. */
const names: Readonly<Record<string, readonly string[]>> = {
  base: ['base'],
  upsample: ['upsample'],
  base_inpaint: ['base_inpaint', 'base-inpaint'],
  upsample_inpaint: ['upsample_inpaint', 'upsample-inpaint'],
  clip_image: ['clip_image_enc', 'clip/image-enc', 'clip/image_enc'],
  clip_text: ['clip_text_enc', 'clip/text-enc', 'clip/text_enc'],
}

/**
 * A folder of GLIDE's released files, `base.pt`, `upsample.pt` and the others, or undefined. The files hold weights alone; where
 * networks are of other sizes than the released ones, `config.json` says so, for `base`, `upsample` and `clip`.
 */
export function glideSource(dir: string): ModelSource | undefined {
  const fileOf = (component: string): string | undefined =>
    names[component]
      ?.flatMap((name) => ['.pt', '.pth', '.safetensors'].map((ending) => join(dir, name + ending)))
      .find((path) => existsSync(path))
  if (existsSync(join(dir, 'model_index.json')) || !(fileOf('base') ?? fileOf('base_inpaint'))) return undefined
  const file = join(dir, 'config.json')
  const configs: Readonly<Record<string, unknown>> = existsSync(file) ? loadConfig(dir) : {}
  const fieldsOf = (name: string): Readonly<Record<string, unknown>> => {
    const own = configs[name] ?? {}
    if (isObject(own)) return own
    throw new ConfigError(file, 'must be an object', { field: name })
  }
  const configOf = (component: string) => {
    if (component.startsWith('clip')) return fieldsOf('clip')
    const enlarges = component.startsWith('upsample')
    const own = fieldsOf(enlarges ? 'upsample' : 'base')
    return { ...(enlarges && glideUpsampler), ...own, inpaint: component.endsWith('inpaint') }
  }
  return {
    place: dir,
    className: 'GLIDE',
    fields: {},
    has: (component) => fileOf(component) !== undefined,
    network<N extends ClassName>(component: string, [className]: readonly N[]): Stored<N> {
      const path = fileOf(component)
      if (path === undefined) throw new FolderError(dir, `has no ${names[component]?.[0]}.pt`)
      const place = `${file} (${component})`
      return {
        className: className as N,
        config: configOf(component),
        weights: () => openWeightFile(path).tensors,
        place: path,
        configPlace: place,
      }
    },
    scheduler: () => {
      throw new FolderError(dir, "GLIDE's files have no scheduler")
    },
    tokenizer: () => dir,
    beside: (name) => join(dir, name),
  }
}
