import { ConfigError, FolderError, loadConfig, readModelIndex } from '../../checkpoints/index.ts'
import { isObject } from '../../checkpoints/json.ts'
import { existsSync, join } from '../../runtime/system.ts'
import { storedIn } from './network.ts'
import { schedulerIn } from './scheduler.ts'
import type { ModelSource, OpenOptions } from './source.ts'

/** A pipeline's folder as diffusers' `save_pretrained` writes it. @throws FolderError, ConfigError */
export function folderSource(dir: string, options: OpenOptions = {}): ModelSource {
  const file = join(dir, 'model_index.json')
  if (!existsSync(file)) {
    const alone = standalone(dir, options)
    if (alone) return alone
    throw new FolderError(dir, 'has no model_index.json; expected what save_pretrained of a diffusers pipeline writes')
  }
  const { _class_name: className, components, options: fields } = readModelIndex(dir)
  /** The class of a component that has to be there. */
  const classOf = (name: string, known?: readonly string[]): string => {
    const found = components.get(name)
    if (!found) throw new ConfigError(file, `lacks this component of a ${className}`, { field: name })
    if (known && !known.includes(found.className))
      throw new ConfigError(file, `is ${found.className}; expected ${known.join(' or ')}`, { field: name })
    if (!existsSync(join(dir, name))) throw new FolderError(join(dir, name), `no such folder, which ${file} names`)
    return found.className
  }
  return {
    place: dir,
    className,
    fields,
    has: (name) => Boolean(components.get(name)),
    network: (name, classes) => storedIn(join(dir, name), classes, options, classOf(name, classes)),
    scheduler: (name) => schedulerIn(join(dir, name), classOf(name)),
    tokenizer(name, classes) {
      classOf(name, classes)
      return join(dir, name)
    },
    beside: (name) => join(dir, name),
  }
}

/** Language models whose folder is their network's: nothing but `config.json`, weights and a tokenizer. */
const languageModels = ['LLaDAModelLM', 'DreamModel', 'MDLM', 'BD3LM', 'SEDD', 'AR'] as const
type LanguageModelClass = (typeof languageModels)[number]

/** The class that a folder without `model_index.json` says that it is, if it is a language model. */
function languageModelOf(dir: string): LanguageModelClass | undefined {
  if (!existsSync(join(dir, 'config.json'))) return undefined
  const config = loadConfig(dir)
  const named = Array.isArray(config.architectures) ? config.architectures : [config._class_name]
  // SEDD's config names no class: it is known by its graph.
  const own = isObject(config.graph) && isObject(config.model) ? ['SEDD'] : named
  return languageModels.find((one) => own.includes(one))
}

/** A language model's folder as a model of one component, `model`, with its tokenizer beside it. */
function standalone(dir: string, options: OpenOptions): ModelSource | undefined {
  const className = languageModelOf(dir)
  if (className === undefined) return undefined
  const missing = (component: string): never => {
    throw new ConfigError(join(dir, 'config.json'), `a ${className} has no ${component}`)
  }
  return {
    place: dir,
    className,
    fields: {},
    has: (component) => component === 'model' || component === 'tokenizer',
    network: (component, classes) => (component === 'model' ? storedIn(dir, classes, options, className) : missing(component)),
    scheduler: missing,
    tokenizer: () => options.tokenizer ?? dir,
    beside: (component) => join(dir, component),
  }
}
