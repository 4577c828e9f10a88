import { ArgumentError } from '../core/errors.ts'
import { inWords } from '../core/system-error.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import {
  basename,
  dirname,
  existsSync,
  join,
  mkdirSync,
  readdirSync,
  renameSync,
  resolve,
  rmSync,
  statSync,
} from '../runtime/system.ts'
import type { FileTensor, Weights } from '../runtime/weights.ts'
import { saving, syncFolder, temporaryIn } from './atomic.ts'
import { ConfigError, FolderError, PickleError, quote, SafetensorsError } from './errors.ts'
import { describe, isPlainName, type Json, readJson, writeJson } from './json.ts'
import { type SaveFloat, storedSize, writeSafetensors } from './safetensors.ts'
import { openSharded } from './sharded.ts'
import { openWeightFile } from './weight-file.ts'

/** A model's or scheduler's configuration, with upstream's field names. diffusers' own carry their class and version. */
export interface Config extends Json {
  readonly _class_name?: string
  readonly _diffusers_version?: string
}

/** What stands before `.safetensors`: in diffusers' folders, in transformers'. */
const stems = ['diffusion_pytorch_model', 'model'] as const
const pickleStems = ['diffusion_pytorch_model', 'pytorch_model'] as const

/**
 * A folder's `config.json`, or another such file (`scheduler_config.json`).
 *
 * @throws ConfigError
 */
export function loadConfig(dir: string, name = 'config.json'): Config {
  const file = join(dir, name)
  const config = readJson(file)
  for (const field of ['_class_name', '_diffusers_version']) optionalString(file, config, field)
  return config
}

/** Writes a configuration as `loadConfig` reads it, its keys sorted as diffusers sorts them. Creates the folder. */
export function saveConfig(dir: string, config: Config, name = 'config.json'): void {
  saving(dir, () => mkdirSync(dir, { recursive: true }))
  writeJson(join(dir, name), config)
}

/**
 * Opens a model's weights and copies none: one file of them (`openWeightFile`), or a folder's `diffusion_pytorch_model[.variant]` or
 * `model[.variant]` as safetensors, or the index of either's shards, which comes first. Without a file of the variant, the plain ones
 * serve; without safetensors, the state dicts of PyTorch's that are named likewise (`.bin`).
 *
 * @throws FolderError when there are none; what `openWeightFile` and `openSharded` do
 */
export function openWeights(dir: string, { variant }: { variant?: string } = {}): Weights {
  if (variant !== undefined && !isPlainName(variant))
    throw new ArgumentError(`openWeights: ${quote(variant)} is no variant's name`)
  if (statSync(dir, { throwIfNoEntry: false })?.isFile()) return openWeightFile(dir).tensors
  for (const [ending, names] of [['safetensors', stems] as const, ['bin', pickleStems] as const]) {
    for (const infix of variant === undefined ? [''] : [`.${variant}`, '']) {
      for (const stem of names) {
        const index = join(dir, `${stem}.${ending}.index${infix}.json`)
        if (existsSync(index)) return openSharded(index)
        const single = join(dir, `${stem}${infix}.${ending}`)
        if (existsSync(single)) return openWeightFile(single).tensors
      }
    }
  }
  throw noWeights(dir)
}

/** Why a folder has no weights, from what it has instead. */
function noWeights(dir: string): FolderError | PickleError {
  let names: string[]
  try {
    names = readdirSync(dir)
  } catch (cause) {
    return new FolderError(dir, `cannot be read: ${inWords(cause)}`)
  }
  const files = names.filter((name) => name.endsWith('.safetensors'))
  const shards = files.some((name) => /-\d{5}-of-\d{5}\./.test(name))
  const variant = /^(?:diffusion_pytorch_)?model(?:\.safetensors\.index)?\.([^.]+?)(?:-\d{5}-of-\d{5})?\.(?:safetensors|json)$/
  const variants = new Set(names.flatMap((name) => variant.exec(name)?.[1] ?? []))
  if (variants.size > 0) {
    return new FolderError(dir, `has only variants of its weights: ask for one of ${[...variants].map(quote).join(', ')}`)
  }
  if (shards) return new FolderError(dir, 'has shards without their index: a save or a download was cut off, do it again')
  const pickle = names.find((name) => /^(diffusion_pytorch_model|pytorch_model)\b.*\.bin$|\.(ckpt|pt|pth)$/.test(name))
  if (pickle !== undefined && files.length === 0) {
    return new PickleError(join(dir, pickle), 'it is not named as the weights of a folder are; open the file by its own path')
  }
  if (names.includes('model_index.json')) {
    return new FolderError(dir, 'is a pipeline and has no weights of its own: open one of the components in its model_index.json')
  }
  const hint = files[0] === undefined ? '' : `; a single file such as ${quote(files[0])} opens with openSafetensors`
  return new FolderError(
    dir,
    `no weights: expected ${stems.map((stem) => `${stem}.safetensors`).join(' or ')}, or an index${hint}`,
  )
}

/**
 * Writes `config.json` and the weights, in shards with their index where they exceed `maxShardSize`, as diffusers does. All is
 * first written and synced under a temporary name. A new folder then appears in one step; in one that exists, each file is
 * replaced in one step, and shards never mix: between two sets there is no index.
 *
 * The file is named as transformers names it when the config is one of its own (`architectures` or `model_type`).
 *
 * @param options.dtype casts the floats; without it each tensor keeps its type
 * @param options.maxShardSize bytes, 10 GB unless told
 * @throws SaveError, and what `writeSafetensors` does; what stood in the folder before then still stands
 */
export function saveModel(
  dir: string,
  config: Config,
  weights: Iterable<readonly [string, NdArray | FileTensor]>,
  { dtype, maxShardSize = 10e9 }: { dtype?: SaveFloat; maxShardSize?: number } = {},
): void {
  if (!(maxShardSize > 0)) throw new ArgumentError(`saveModel: maxShardSize is a number of bytes above 0, got ${maxShardSize}`)
  const stem = 'architectures' in config || 'model_type' in config ? 'model' : 'diffusion_pytorch_model'
  const entries = [...weights]
  const keys = new Set<string>()
  for (const [key] of entries) {
    if (keys.has(key)) throw new SafetensorsError(dir, 'given twice', { tensor: key })
    keys.add(key)
  }
  saving(dir, () => {
    const parent = dirname(resolve(dir))
    mkdirSync(parent, { recursive: true })
    const exists = existsSync(dir)
    const stage = temporaryIn(exists ? dir : parent)
    mkdirSync(stage)
    try {
      writeJson(join(stage, 'config.json'), config)
      writeShards(stage, stem, split(entries, maxShardSize, dtype), dtype)
      if (exists) install(stage, dir, stem)
      else renameSync(stage, dir)
    } finally {
      rmSync(stage, { recursive: true, force: true })
    }
    syncFolder(exists ? dir : parent)
  })
}

type Entry = readonly [string, NdArray | FileTensor]

/** In the given order, a new shard where the next tensor would exceed the limit; a tensor above it has one to itself. */
function split(entries: readonly Entry[], limit: number, floats?: SaveFloat): Entry[][] {
  const shards: Entry[][] = []
  let shard: Entry[] = []
  let size = 0
  for (const entry of entries) {
    const bytes = storedSize(entry[1], floats)
    if (bytes > limit) {
      shards.push([entry])
      continue
    }
    if (size + bytes > limit) {
      shards.push(shard)
      shard = []
      size = 0
    }
    shard.push(entry)
    size += bytes
  }
  if (shard.length > 0 || shards.length === 0) shards.push(shard)
  return shards
}

function writeShards(dir: string, stem: string, shards: readonly Entry[][], floats?: SaveFloat): void {
  const number = (i: number) => String(i).padStart(5, '0')
  const map: Record<string, string> = Object.create(null)
  for (const [i, shard] of shards.entries()) {
    const name = shards.length === 1 ? stem : `${stem}-${number(i + 1)}-of-${number(shards.length)}`
    for (const [key] of shard) map[key] = `${name}.safetensors`
    writeSafetensors(join(dir, `${name}.safetensors`), shard, { format: 'pt' }, { floats })
  }
  if (shards.length === 1) return
  const total = shards.flat().reduce((sum, [, tensor]) => sum + storedSize(tensor, floats), 0)
  writeJson(join(dir, `${stem}.safetensors.index.json`), { metadata: { total_size: total }, weight_map: map })
}

/** Moves a finished set of files into a folder that may hold another, and removes what is left of that one. */
function install(stage: string, dir: string, stem: string): void {
  const index = `${stem}.safetensors.index.json`
  const shard = new RegExp(`^${stem}(-\\d{5}-of-\\d{5})?\\.safetensors$`)
  const fresh = new Set(readdirSync(stage))
  const stale = readdirSync(dir).filter((name) => shard.test(name))
  const move = (name: string) => renameSync(join(stage, name), join(dir, name))
  const sharded = fresh.has(index)
  if (sharded && stale.some((name) => fresh.has(name))) rmSync(join(dir, index), { force: true })
  for (const name of fresh) if (shard.test(name)) move(name)
  if (sharded) move(index)
  else rmSync(join(dir, index), { force: true })
  move('config.json')
  for (const name of stale) if (!fresh.has(name)) rmSync(join(dir, name))
}

/** A part of a pipeline: `library` is the Python package of its class. */
export interface Component {
  readonly library: string
  readonly className: string
}

/** A pipeline's `model_index.json`. */
export interface ModelIndex {
  readonly _class_name: string
  readonly _diffusers_version?: string
  /** By name, which is the subfolder's; null for an optional one that this pipeline lacks. */
  readonly components: ReadonlyMap<string, Component | null>
  /** Every other field, as `requires_safety_checker`. */
  readonly options: Readonly<Json>
}

/**
 * Reads a pipeline's components and options.
 *
 * @throws ConfigError
 */
export function readModelIndex(dir: string): ModelIndex {
  const file = join(dir, 'model_index.json')
  const { _class_name, _diffusers_version, ...rest } = readJson(file)
  if (typeof _class_name !== 'string') {
    throw new ConfigError(file, `must name the pipeline's class, got ${describe(_class_name)}`, { field: '_class_name' })
  }
  const version = optionalString(file, { _diffusers_version }, '_diffusers_version')
  const components = new Map<string, Component | null>()
  const options: [string, unknown][] = []
  for (const [name, value] of Object.entries(rest)) {
    const component = asComponent(value)
    if (component === undefined) options.push([name, value])
    else if (!isPlainName(name)) throw new ConfigError(file, 'a component is named as its folder is', { field: quote(name) })
    else components.set(name, component)
  }
  return {
    _class_name,
    ...(version !== undefined && { _diffusers_version: version }),
    components,
    options: Object.fromEntries(options),
  }
}

/** `[library, class]`, or null for `[null, null]`; undefined for any other value. */
function asComponent(value: unknown): Component | null | undefined {
  if (!Array.isArray(value) || value.length !== 2) return undefined
  const [library, className] = value
  if (library === null && className === null) return null
  return typeof library === 'string' && typeof className === 'string' ? { library, className } : undefined
}

/**
 * Writes a pipeline's `model_index.json`. Creates the folder. Write it after the components: it is what makes a folder a
 * pipeline.
 *
 * @throws ConfigError for a component that is not named as a folder can be; SaveError
 */
export function writeModelIndex(dir: string, { components, options, ...own }: ModelIndex): void {
  const file = join(dir, 'model_index.json')
  const fields: Json = { ...options, ...own }
  for (const [name, component] of components) {
    if (!isPlainName(name) || name in fields) {
      throw new ConfigError(file, 'a component is named as its folder is, and as no other field', { field: quote(name) })
    }
    fields[name] = component === null ? [null, null] : [component.library, component.className]
  }
  saveConfig(dir, fields, basename(file))
}

function optionalString(file: string, object: Json, field: string): string | undefined {
  const value = object[field]
  if (value !== undefined && typeof value !== 'string') {
    throw new ConfigError(file, `must be a string, got ${describe(value)}`, { field })
  }
  return value
}
