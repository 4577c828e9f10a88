import {
  ConfigError,
  FolderError,
  fromComponentFile,
  type HubOptions,
  loadConfig,
  matchWeights,
  openWeightFile,
  openWeights,
  resolveModel,
} from '../../checkpoints/index.ts'
import type { Json } from '../../checkpoints/json.ts'
import { Params } from '../../nn/params.ts'
import { existsSync, join } from '../../runtime/system.ts'
import type { Weights } from '../../runtime/weights.ts'
import { build, type ClassName, type ConfigOf, type NetworkClass, networkClasses } from './classes.ts'
import { bundledModels, modelFolder } from './zoo.ts'

/** A network as its checkpoint has it: weights under the network's own names, not yet in memory. */
export interface Network<C> {
  readonly config: C
  readonly weights: Weights
}

/** A network of a class that the table knows. */
export type OpenedNetwork<N extends ClassName = ClassName> = N extends ClassName
  ? Network<ConfigOf<N>> & {
      readonly className: N
      /** What errors call it: its folder, or the file with the component's name. */
      readonly place: string
      /** diffusers' version that wrote its config. */
      readonly version: string | undefined
    }
  : never

/** A network that nothing has been checked of: where its class, its config and its weights come from. */
export interface Stored<N extends ClassName = ClassName> {
  readonly className: N
  readonly config: unknown
  readonly weights: () => Weights
  readonly place: string
  /** What errors call its config. */
  readonly configPlace: string
}

/**
 * Holds every field, key and shape against the network. No weight is read.
 *
 * @param check what a page asks of the config beside its schema
 * @throws ModelConfigError, CheckpointError, what opening the weights throws
 */
export function openNetwork<N extends ClassName>(
  { className, config: fields, weights, place, configPlace }: Stored<N>,
  check: (config: ConfigOf<N>, place: string) => void = () => {},
): OpenedNetwork<N> {
  const known = networkClasses[className] as unknown as NetworkClass<ConfigOf<N>, unknown>
  const { config: parse, rename, ignore, select = (all: Weights) => all } = known
  const config = parse(fields, configPlace)
  check(config, configPlace)
  const p = new Params()
  build(className, p, config)
  const version = (fields as Json)._diffusers_version
  const matched = matchWeights(p.tensors, select(weights()), { place, ...(rename && { rename }), ...(ignore && { ignore }) })
  return {
    className,
    config,
    weights: matched,
    place,
    version: typeof version === 'string' ? version : undefined,
  } as OpenedNetwork<N>
}

export interface WeightOptions {
  /** As `fp16`: which of a folder's weights. */
  readonly variant?: string | undefined
}

/**
 * The network of a folder.
 *
 * @param className as `model_index.json` names it; else `config.json` does, or there is only one to expect
 * @throws ConfigError for another class
 */
export function storedIn<N extends ClassName>(
  dir: string,
  known: readonly N[],
  { variant }: WeightOptions = {},
  className?: string,
): Stored<N> {
  const config = loadConfig(dir)
  const [only, ...others] = known
  const own = className ?? config._class_name ?? (others.length === 0 ? only : undefined)
  if (own === undefined || !known.includes(own as N)) {
    throw new ConfigError(join(dir, 'config.json'), `is ${own || 'none'}; expected ${known.join(' or ')}`, {
      field: '_class_name',
    })
  }
  return {
    className: own as N,
    config,
    weights: () => openWeights(dir, variant === undefined ? {} : { variant }),
    place: dir,
    configPlace: join(dir, 'config.json'),
  }
}

/** What the hub is asked for. */
export const hubOptions = ({ variant, hub = {} }: WeightOptions & { readonly hub?: HubOptions }): HubOptions => ({
  ...hub,
  ...(variant !== undefined && { variant }),
})

/**
 * Opens a network that stands for itself, such as a ControlNet: its folder in diffusers' layout, a single file with the keys
 * of the original program or diffusers', or a name on the hub.
 *
 * @param what errors call it, as `a ControlNet`
 * @param autoencoder fields of an autoencoder's config that a single file does not tell
 * @throws HubError, FolderError, ConfigError, and what `openNetwork` does
 */
export async function openNetworkAt<N extends ClassName>(
  model: string,
  what: string,
  known: readonly N[],
  options: WeightOptions & { readonly hub?: HubOptions } = {},
  autoencoder: Readonly<Record<string, unknown>> = {},
): Promise<OpenedNetwork<N>> {
  const bundled = !existsSync(model) && bundledModels().includes(model)
  const { kind, path } = bundled
    ? ({ kind: 'folder', path: modelFolder(model) } as const)
    : await resolveModel(model, hubOptions(options))
  if (kind === 'folder') return openNetwork(storedIn(path, known, options))
  const { className, config, weights, unknown } = fromComponentFile(openWeightFile(path).tensors, { place: path, autoencoder })
  if (!known.includes(className as N)) throw new FolderError(path, `is ${className}; ${what} is ${known.join(' or ')}`)
  if (unknown.length > 0)
    console.warn(`${path}: ${unknown.length} keys without a place were left: ${unknown.slice(0, 5).join(', ')}`)
  return openNetwork({ className: className as N, config, weights: () => weights, place: path, configPlace: path })
}
