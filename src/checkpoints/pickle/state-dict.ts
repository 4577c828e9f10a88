import type { Json } from '../json.ts'
import type { Fail } from './globals.ts'
import { Dict, StoredTensor, Tuple, type Value } from './values.ts'

/** Where programs keep a network's state beside other things, the first that is there: averages of the weights go first. */
const wrappers = [
  'params_ema',
  'params',
  'state_dict',
  'model_state_dict',
  'model',
  'ema',
  'generator',
  'net',
  'module',
  'weights',
] as const

const deepest = 8
const mostValues = 1_000_000

/** What a file's value holds: the tensors, the texts and numbers of its top, and its dicts of settings. */
interface Contents {
  readonly tensors: Map<string, StoredTensor>
  readonly metadata: Record<string, string>
  readonly fields: Json
}

/** Values that all settings together have at most, and dicts or lists within each other. */
const [mostSettings, deepestSetting] = [10_000, 4]

/** The dicts at a file's top as JSON has them, without tensors and what else is no setting; too many values are cut off. */
function settings(root: Dict): Json {
  let seen = 0
  const plain = (value: Value, depth: number): unknown => {
    if (++seen > mostSettings) return undefined
    if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) return value
    if (depth > deepestSetting) return undefined
    const items = value instanceof Tuple ? value.items : Array.isArray(value) ? value : undefined
    if (items) return items.slice(0, mostSettings - seen).map((item) => plain(item, depth + 1) ?? null)
    return value instanceof Dict ? object(value, depth + 1) : undefined
  }
  const object = (dict: Dict, depth: number): Json => {
    const found: Json = Object.create(null)
    for (const [key, value] of dict.map) {
      if (seen > mostSettings) break
      const own = typeof key === 'string' ? plain(value, depth) : undefined
      if (own !== undefined) found[key as string] = own
    }
    return found
  }
  const tops = [...root.map].filter(([key, value]) => typeof key === 'string' && value instanceof Dict)
  return Object.fromEntries(tops.map(([key, value]) => [key, object(value as Dict, 1)]))
}

/** @param fail told of what is no state dict */
export function stateDict(root: Value, fail: Fail): Contents {
  if (!(root instanceof Dict)) return fail('it holds no dict, so no state dict')
  const metadata: Record<string, string> = Object.create(null)
  for (const [key, value] of root.map) {
    if (typeof key === 'string' && ['string', 'number', 'bigint', 'boolean'].includes(typeof value)) metadata[key] = String(value)
  }
  let dict = root
  for (let depth = 0; depth < deepest; depth++) {
    const inner = wrappers.map((name) => dict.map.get(name)).find((value) => value instanceof Dict)
    if (!inner) break
    dict = inner as Dict
  }
  const tensors = new Map<string, StoredTensor>()
  let seen = 0
  const walk = (value: Value, key: string, depth: number): void => {
    if (++seen > mostValues) fail(`it holds more than ${mostValues} values`)
    if (value instanceof StoredTensor) {
      if (tensors.has(key)) fail(`two tensors are called ${JSON.stringify(key)}`)
      tensors.set(key, value)
      return
    }
    const items =
      value instanceof Dict
        ? value.map
        : value instanceof Tuple
          ? value.items.entries()
          : Array.isArray(value)
            ? value.entries()
            : []
    for (const [name, inner] of items) {
      if (depth === deepest) fail(`dicts lie in dicts more than ${deepest} deep`)
      if (typeof name !== 'string' && typeof name !== 'number') continue
      walk(inner, depth === 0 ? String(name) : `${key}.${name}`, depth + 1)
    }
  }
  walk(dict, '', 0)
  if (tensors.size === 0) fail('it holds no tensors')
  return { tensors, metadata, fields: settings(root) }
}
