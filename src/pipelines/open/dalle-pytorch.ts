import { ConfigError, FolderError, openWeightFile } from '../../checkpoints/index.ts'
import { isObject, type Json } from '../../checkpoints/json.ts'
import { dirname, existsSync, join } from '../../runtime/system.ts'
import type { Weights } from '../../runtime/weights.ts'
import type { ClassName } from './classes.ts'
import type { Stored } from './network.ts'
import type { ModelSource, OpenOptions } from './source.ts'

/** What OpenAI's autoencoder tells the transformer. */
const ofOpenAI = { num_image_tokens: 8192, image_fmap_size: 32 }

/** The fields of the transformer that its autoencoder decides. */
function ofVae({ num_tokens = 512, image_size = 256, num_layers = 3 }: Json): Json {
  return { num_image_tokens: num_tokens, image_fmap_size: Number(image_size) / 2 ** Number(num_layers) }
}

const under = (weights: Weights, prefix: string): Weights =>
  new Map([...weights].flatMap(([key, value]) => (key.startsWith(prefix) ? [[key.slice(prefix.length), value]] : [])))

/**
 * A file of DALLE-pytorch's `train_dalle.py`, which holds transformer and autoencoder with their settings; undefined for any other.
 *
 * @throws PickleError; ConfigError where its autoencoder is a VQGAN, whose settings are not in the file
 */
export function dallePytorchSource(file: string, { tokenizer }: Pick<OpenOptions, 'tokenizer'>): ModelSource | undefined {
  const { tensors, fields = {}, metadata } = openWeightFile(file)
  const { hparams, vae_params: vae } = fields
  if (!isObject(hparams) || !tensors.has('to_logits.1.weight')) return undefined
  const named = metadata.vae_class_name ?? (isObject(vae) ? 'DiscreteVAE' : 'OpenAIDiscreteVAE')
  if (named !== 'DiscreteVAE' && named !== 'OpenAIDiscreteVAE')
    throw new ConfigError(file, `is ${named}; expected DiscreteVAE or OpenAIDiscreteVAE`, { field: 'vae_class_name' })
  const own = named === 'DiscreteVAE' ? ofVae(isObject(vae) ? vae : {}) : ofOpenAI
  const components: Readonly<
    Record<string, { readonly className: ClassName; readonly config: Json; readonly weights: () => Weights }>
  > = {
    transformer: { className: 'DALLE', config: { ...hparams, ...own }, weights: () => tensors },
    dvae: { className: named, config: isObject(vae) ? vae : {}, weights: () => under(tensors, 'vae.') },
  }
  return {
    place: file,
    className: 'DallePipeline',
    fields: {},
    has: (name) => Object.hasOwn(components, name) || name === 'tokenizer',
    network<N extends ClassName>(name: string, classes: readonly N[]): Stored<N> {
      const found = components[name]
      const place = `${file} (${name})`
      if (!found) throw new FolderError(place, 'is not in the file')
      if (!classes.includes(found.className as N))
        throw new ConfigError(place, `is ${found.className}; expected ${classes.join(' or ')}`, { field: '_class_name' })
      return { ...found, className: found.className as N, place, configPlace: place }
    },
    scheduler: (name) => {
      throw new FolderError(`${file} (${name})`, 'is not in the file')
    },
    tokenizer: () => {
      const found = [join(dirname(file), 'tokenizer'), dirname(file), ...(tokenizer === undefined ? [] : [tokenizer])]
        .reverse()
        .find((dir) => ['vocab.json', 'tokenizer.json'].some((name) => existsSync(join(dir, name))))
      if (found !== undefined) return found
      throw new FolderError(
        join(dirname(file), 'tokenizer'),
        `no tokenizer here, and ${file} holds none. Give the folder of CLIP's vocabulary, which DALLE-pytorch trains with ` +
          '(vocab.json and merges.txt, as in any Stable Diffusion 1 folder)',
      )
    },
    beside: (name) => join(dirname(file), name),
  }
}
