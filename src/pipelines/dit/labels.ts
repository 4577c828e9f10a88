import { z } from 'zod'
import { ConfigError } from '../../checkpoints/errors.ts'
import { describe, isObject } from '../../checkpoints/json.ts'
import { ArgumentError } from '../../core/errors.ts'

const one = z.union([z.string(), z.int()])

/** One class by its name or its number, or several. A program may give one by itself. */
export const labelOption = z
  .preprocess((given) => (Array.isArray(given) || given === undefined ? given : [given]), z.array(one).min(1))
  .meta({
    // What a flag is made of: the schema's own description of what comes in would be "anything".
    type: 'array',
    items: { anyOf: [{ type: 'string' }, { type: 'integer' }] },
    description: 'a class by its name or its number; of several, each has its pictures, of the seeds that follow',
  })

/** Names of classes, of which one may have several. */
export interface Labels {
  /** Classes in all. */
  readonly count: number
  readonly ids: ReadonlyMap<string, number>
}

/**
 * The row that stands for no class in a table of `count` classes. diffusers writes 1000, whatever the table's size: with fewer
 * classes that lies outside of it.
 */
export const noClass = (count: number): number => Math.min(count, 1000)

/**
 * The names in `id2label` of `model_index.json`, synonyms parted by commas. Of two classes with one name it is the last one's, as in
 * diffusers.
 *
 * @throws ConfigError for what is no table of names
 */
export function labelsOf(id2label: unknown, count: number, file: string): Labels {
  if (id2label === undefined || id2label === null) return { count, ids: new Map() }
  if (!isObject(id2label)) throw new ConfigError(file, `must be an object, got ${describe(id2label)}`, { field: 'id2label' })
  const ids = new Map<string, number>()
  for (const [key, names] of Object.entries(id2label)) {
    const id = Number(key)
    if (typeof names !== 'string' || !Number.isInteger(id) || id < 0)
      throw new ConfigError(file, 'must give a class number its names', { field: `id2label.${key}` })
    for (const name of names.split(',')) ids.set(name.trim(), id)
  }
  return { count, ids }
}

/** The one class whose names have all of several, joined by commas: `fox, 3d style` is `fox in 3d style`; none for one name alone. */
function classOfAll(label: string, ids: Labels['ids']): number | undefined {
  const parts = label.split(',').map((part) => part.trim().toLowerCase())
  if (parts.length < 2 || parts.includes('')) return undefined
  const namesOf = Map.groupBy(ids, ([, id]) => id)
  const has = (part: string) => (words: string) => ` ${words} `.includes(` ${part} `)
  const fitting = [...namesOf].filter(([, names]) => {
    const own = names.map(([name]) => name.toLowerCase())
    return parts.every((part) => own.some(has(part)))
  })
  return fitting.length === 1 ? fitting[0]?.[0] : undefined
}

/** How many names an error lists. */
const shown = 12

/** The class of a name, or of a number. @throws ArgumentError that lists names */
export function classOf(label: string | number, { count, ids }: Labels): number {
  const named = ids.get(String(label).trim())
  if (named !== undefined && named < count) return named
  const id = typeof label === 'number' ? label : /^\d+$/.test(label.trim()) ? Number(label) : Number.NaN
  if (id >= 0 && id < count) return id
  const joined = classOfAll(String(label), ids)
  if (joined !== undefined && joined < count) return joined
  const range = `a number from 0 to ${count - 1}`
  if (ids.size === 0) throw new ArgumentError(`label: ${JSON.stringify(label)} is no class; this model names none: give ${range}`)
  const text = String(label).toLowerCase()
  const near = [...ids.keys()].filter((name) => text !== '' && name.toLowerCase().includes(text))
  const names = (near.length > 0 ? near : [...ids.keys()]).sort().slice(0, shown)
  const more = (near.length > 0 ? near.length : ids.size) > shown ? ', …' : ''
  throw new ArgumentError(`label: ${JSON.stringify(label)} is no class; give ${range}, or a name: ${names.join(', ')}${more}`)
}
