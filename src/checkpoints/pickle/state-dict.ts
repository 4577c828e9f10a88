import type { Fail } from './globals.ts'
import { Dict, StoredTensor, Tuple, type Value } from './values.ts'

/** Where programs keep a network's state beside other things, the first that is there: averages of the weights go first. */
const wrappers = ['params_ema', 'params', 'state_dict', 'model_state_dict', 'model', 'ema', 'generator', 'net', 'module'] as const

const deepest = 8
const mostValues = 1_000_000

/** The tensors of a file's value, and the texts and numbers of its top. */
export function stateDict(root: Value, fail: Fail): { tensors: Map<string, StoredTensor>; metadata: Record<string, string> } {
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
  return { tensors, metadata }
}
