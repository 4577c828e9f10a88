import { ConfigError, loadConfig, openWeightFile } from '../../checkpoints/index.ts'
import { isObject } from '../../checkpoints/json.ts'
import { existsSync, join } from '../../runtime/system.ts'
import type { Weights } from '../../runtime/weights.ts'
import { type Stored, storedIn } from './network.ts'
import type { ModelSource, OpenOptions } from './source.ts'

/** Language models whose folder is their network's: nothing but `config.json`, weights and a tokenizer. */
const languageModels = ['LLaDAModelLM', 'DreamModel', 'MDLM', 'BD3LM', 'SEDD', 'AR', 'SSDLM'] as const
type LanguageModelClass = (typeof languageModels)[number]

/** Layers of SSD-LM that its reference keeps in files of their own, beside a RoBERTa. */
const ssdLayers = ['embed_sum_layer', 'timestep_layer'] as const
const layerFile = (dir: string, layer: string) => join(dir, `${layer}.pt`)

/** The class that a folder without `model_index.json` says that it is, if it is a language model. */
function languageModelOf(dir: string): LanguageModelClass | undefined {
  if (!existsSync(join(dir, 'config.json'))) return undefined
  const config = loadConfig(dir)
  const named = Array.isArray(config.architectures) ? config.architectures : [config._class_name]
  // SEDD's config names no class: it is known by its graph.
  if (isObject(config.graph) && isObject(config.model)) return 'SEDD'
  if (named.includes('RobertaForMaskedLM') && ssdLayers.every((layer) => existsSync(layerFile(dir, layer)))) return 'SSDLM'
  return languageModels.find((one) => named.includes(one))
}

/** A language model's folder as a model of one component, `model`, with its tokenizer beside it; SSD-LM's with a classifier. */
export function languageSource(dir: string, options: OpenOptions): ModelSource | undefined {
  const className = languageModelOf(dir)
  if (className === undefined) return undefined
  const missing = (component: string): never => {
    throw new ConfigError(join(dir, 'config.json'), `a ${className} has no ${component}`)
  }
  const classifier = options.classifier ?? join(dir, 'classifier')
  const guided = className === 'SSDLM' && (options.classifier !== undefined || existsSync(join(classifier, 'config.json')))
  return {
    place: dir,
    className,
    fields: {},
    has: (component) => component === 'model' || component === 'tokenizer' || (component === 'classifier' && guided),
    network(component, classes) {
      if (component === 'classifier' && guided) return storedIn(classifier, classes, {}, 'RobertaForSequenceClassification')
      if (component !== 'model') return missing(component)
      const stored = storedIn(dir, classes, options, className)
      return className === 'SSDLM' ? withLayers(dir, stored) : stored
    },
    scheduler: missing,
    tokenizer: () => options.tokenizer ?? dir,
    beside: (component) => join(dir, component),
  }
}

/** The weights of a folder and of the layers in files beside them, those under their files' names. */
function withLayers<T extends Stored>(dir: string, stored: T): T {
  const layers = ssdLayers.filter((layer) => existsSync(layerFile(dir, layer)))
  const weights = (): Weights =>
    new Map([
      ...stored.weights(),
      ...layers.flatMap((layer) =>
        [...openWeightFile(layerFile(dir, layer)).tensors].map(([key, value]) => [`${layer}.${key}`, value] as const),
      ),
    ])
  return { ...stored, weights }
}
