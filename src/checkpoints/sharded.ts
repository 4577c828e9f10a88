import type { NdArray } from '../runtime/ndarray.ts'
import { dirname, join, statSync } from '../runtime/system.ts'
import type { FileTensor } from '../runtime/weights.ts'
import { ConfigError, quote, ShardError } from './errors.ts'
import { describe, isObject, isPlainName, readJson } from './json.ts'
import { openWeightFile } from './weight-file.ts'

/**
 * Opens the shards that a `*.safetensors.index.json` or `*.bin.index.json` names, each beside it.
 *
 * @throws ConfigError for an index that is malformed or names a file elsewhere; ShardError with every shard that is missing and
 * every key on which index and shards disagree; SafetensorsError and PickleError as `openWeightFile`
 */
export function openSharded(indexPath: string): Map<string, NdArray | FileTensor> {
  const shards = readIndex(indexPath)
  const tensors = new Map<string, NdArray | FileTensor>()
  const missingShards: string[] = []
  const missing: { key: string; shard: string }[] = []
  const unlisted: { key: string; shard: string }[] = []
  for (const [shard, keys] of shards) {
    const path = join(dirname(indexPath), shard)
    if (!statSync(path, { throwIfNoEntry: false })) {
      missingShards.push(shard)
      continue
    }
    const held = openWeightFile(path).tensors
    for (const key of keys) {
      const tensor = held.get(key)
      if (tensor) tensors.set(key, tensor)
      else missing.push({ key, shard })
      held.delete(key)
    }
    for (const key of held.keys()) unlisted.push({ key, shard })
  }
  if (missingShards.length + missing.length + unlisted.length > 0) {
    throw new ShardError(indexPath, { missingShards, missing, unlisted })
  }
  return tensors
}

/** The keys of each shard, by its file's name. */
function readIndex(file: string): Map<string, string[]> {
  const map = readJson(file).weight_map
  if (!isObject(map)) throw new ConfigError(file, `must map keys to files, got ${describe(map)}`, { field: 'weight_map' })
  const shards = new Map<string, string[]>()
  for (const [key, shard] of Object.entries(map)) {
    const field = `weight_map[${quote(key)}]`
    if (typeof shard !== 'string') throw new ConfigError(file, `must be a file's name, got ${describe(shard)}`, { field })
    if (!isPlainName(shard)) {
      throw new ConfigError(file, `${quote(shard)} is not a plain file name: shards lie beside their index`, { field })
    }
    const keys = shards.get(shard)
    if (keys) keys.push(key)
    else shards.set(shard, [key])
  }
  return shards
}
