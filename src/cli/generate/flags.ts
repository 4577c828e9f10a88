import { z } from 'zod'
import type { Output } from '../../pipelines/index.ts'
import { pages } from '../../pipelines/registry.ts'

/** What a page's schema says of an option, as far as a flag is made of it. */
interface Property {
  readonly type?: string
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly string[]
  readonly anyOf?: readonly Property[]
  readonly prefixItems?: readonly Property[]
  readonly items?: Property
  /** A file: of a picture, of a map of one channel, or of a film. */
  readonly media?: 'picture' | 'map' | 'film'
  /** No flag by itself. */
  readonly apart?: boolean
}

/** How the text of a flag becomes a page's option. */
export type Reading = 'picture' | 'map' | 'film' | 'tuple' | 'config' | 'plain'

/** A flag of the union of all pages' options. */
export interface Flag {
  readonly schema: z.ZodType
  readonly reading: Reading
  /** Of a tuple: for each number whether it is an integer. */
  readonly integers?: readonly boolean[] | undefined
}

function readingOf(property: Property): Reading {
  if (property.media) return property.media
  if (property.prefixItems) return 'tuple'
  if (property.anyOf?.some(({ type }) => type === 'object')) return 'config'
  return 'plain'
}

/** The type of a flag's value; what a page allows within it is the page's to say. */
function typeOf(property: Property): z.ZodType | undefined {
  const { type, enum: words, anyOf, items } = property
  if (readingOf(property) !== 'plain') return z.string()
  if (anyOf) {
    const types = anyOf.map(typeOf)
    return types.every((one) => one !== undefined) ? z.union(types as [z.ZodType, z.ZodType]) : undefined
  }
  if (words) return z.enum(words as [string, ...string[]])
  if (type === 'integer' || type === 'number') return z.number()
  if (type === 'string') return z.string()
  if (type === 'boolean') return z.boolean()
  const each = type === 'array' && items ? typeOf(items) : undefined
  return each && z.array(each)
}

/** The flags of the options of every page that makes one of these: pictures and films, or texts. Nothing has a default here: what is not given is the page's to decide. */
export function pageFlags(outputs: readonly Output[]): ReadonlyMap<string, Flag> {
  const flags = new Map<string, Flag & { readonly words?: readonly string[] }>()
  for (const { options } of pages.filter(({ output }) => outputs.includes(output))) {
    const { properties = {} } = z.toJSONSchema(options, { io: 'input', unrepresentable: 'any' }) as {
      properties?: Record<string, Property>
    }
    for (const [name, property] of Object.entries(properties)) {
      const type = property.apart ? undefined : typeOf(property)
      // Where pages differ, the wider: a scheduler by any name or by its config.
      if (!type || (flags.has(name) && readingOf(property) === 'plain')) continue
      const { description = '', default: plain } = property
      const known = plain === undefined || typeof plain === 'boolean' ? '' : ` (default ${[plain].flat().join()})`
      // What is on unless a flag says otherwise has a flag for either.
      const negatable = plain === true
      flags.set(name, {
        schema: type.optional().meta({ description: description + known, negatable }),
        reading: readingOf(property),
        integers: property.prefixItems?.map((item) => item.type === 'integer'),
      })
    }
  }
  return flags
}
