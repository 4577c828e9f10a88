import type { SchedulerConfig } from '../../diffusion/index.ts'
import { ClipTokenizer } from '../../text/index.ts'
import type { ClassName, ConfigOf } from './classes.ts'
import { type OpenedNetwork, openNetwork, openNetworkAt } from './network.ts'
import type { ModelSource, OpenOptions } from './source.ts'

/** How a page opens one component of a model. */
export interface Part<T> {
  open(source: ModelSource, component: string, options: OpenOptions): T | Promise<T>
}

/** A page's parts by the component's name, which is its folder's. */
export type PartTable = Readonly<Record<string, Part<unknown>>>
export type PartsOf<T extends PartTable> = { readonly [K in keyof T]: T[K] extends Part<infer V> ? V : never }

/** A component that a model may lack. */
export const optional = <T>(part: Part<T>): Part<T | undefined> => ({
  open: (source, component, options) => (source.has(component) ? part.open(source, component, options) : undefined),
})

/** A network of one of these classes. */
export const network = <N extends ClassName>(
  classes: readonly N[],
  check?: (config: ConfigOf<N>, place: string) => void,
): Part<OpenedNetwork<N>> => ({ open: (source, component) => openNetwork(source.network(component, classes), check) })

/** An autoencoder, or the other one that the caller asks for. */
export const autoencoder = <N extends ClassName>(classes: readonly N[]): Part<OpenedNetwork<N>> => ({
  open: (source, component, options) =>
    options.vae === undefined
      ? openNetwork(source.network(component, classes))
      : openNetworkAt(options.vae, 'an autoencoder', classes, options, autoencoderFields(source, component, classes)),
})

/** What a file of another autoencoder does not say is as in the model's own. */
function autoencoderFields(
  source: ModelSource,
  component: string,
  classes: readonly ClassName[],
): Readonly<Record<string, unknown>> {
  if (source.autoencoder || !source.has(component)) return source.autoencoder ?? {}
  const { config } = source.network(component, classes)
  const { scaling_factor, shift_factor, latents_mean, latents_std } = config as Record<string, unknown>
  const given = Object.entries({ scaling_factor, shift_factor, latents_mean, latents_std })
  return Object.fromEntries(given.filter(([, value]) => value !== undefined))
}

export const scheduler = (): Part<SchedulerConfig> => ({ open: (source, component) => source.scheduler(component) })

/** CLIP's tokenizer, slow or fast: the files are the same. */
export const clipTokenizer = (): Part<ClipTokenizer> => ({ open: openClipTokenizer })

export const openClipTokenizer = (source: ModelSource, component: string): ClipTokenizer =>
  ClipTokenizer.open(source.tokenizer(component, ['CLIPTokenizer', 'CLIPTokenizerFast']))

/** Opens every part of a table. */
export async function openParts<T extends PartTable>(source: ModelSource, table: T, options: OpenOptions): Promise<PartsOf<T>> {
  const opened: Record<string, unknown> = {}
  for (const [name, part] of Object.entries(table)) opened[name] = await part.open(source, name, options)
  return opened as PartsOf<T>
}
