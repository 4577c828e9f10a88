/** What the studio reads of a model's options: JSON Schema, as GET /v1/models/NAME gives it. */
export interface Schema {
  readonly type?: string
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly (string | number)[]
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: number
  readonly exclusiveMaximum?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly items?: Schema | boolean
  readonly prefixItems?: readonly Schema[]
  readonly anyOf?: readonly Schema[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: Schema | boolean
  readonly 'x-file'?: boolean
}

export interface ObjectSchema extends Schema {
  readonly properties: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
}

/** How an option is asked for. */
export type Control = 'file' | 'switch' | 'choice' | 'number' | 'text' | 'numbers' | 'words' | 'group' | 'list' | 'json'

export function controlOf(schema: Schema): Control {
  if (schema['x-file']) return 'file'
  if (schema.enum) return 'choice'
  // Of several forms the simplest: a scheduler's name rather than its config.
  const [simple] = (schema.anyOf ?? []).filter(({ type }) => type === 'string' || type === 'number' || type === 'integer')
  if (simple) return controlOf(simple)
  switch (schema.type) {
    case 'boolean':
      return 'switch'
    case 'number':
    case 'integer':
      return 'number'
    case 'string':
      return 'text'
    case 'array': {
      const items = typeof schema.items === 'object' ? schema.items : schema.prefixItems?.[0]
      if (items?.type === 'number' || items?.type === 'integer') return 'numbers'
      if (items?.type === 'string') return 'words'
      return items?.properties ? 'list' : 'json'
    }
    case 'object':
      return schema.properties ? 'group' : 'json'
    default:
      return 'json'
  }
}

/** hiresSteps → Hires steps */
export function titleOf(name: string): string {
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replaceAll('_', ' ')
    .toLowerCase()
  return titles[name] ?? words.charAt(0).toUpperCase() + words.slice(1)
}

const titles: Readonly<Record<string, string>> = {
  num: 'Pictures',
  negative: 'Not in the picture',
  clipSkip: 'CLIP skip',
  freeu: 'FreeU',
  pagScale: 'PAG scale',
  pagAdaptive: 'PAG adaptive',
  pagLayers: 'PAG layers',
  scheduler: 'Sampler',
  image: 'Picture to start from',
}

/** A sentence of a description, which the schema writes without capital and stop. */
export const sentence = (text = ''): string => (text ? `${text.charAt(0).toUpperCase()}${text.slice(1)}` : '')

/** The bounds of a number, where they bound anything. */
export function boundsOf(schema: Schema) {
  const whole = schema.type === 'integer'
  const low = schema.minimum ?? (schema.exclusiveMinimum !== undefined && whole ? schema.exclusiveMinimum + 1 : undefined)
  const high = schema.maximum ?? (schema.exclusiveMaximum !== undefined && whole ? schema.exclusiveMaximum - 1 : undefined)
  const sane = (value: number | undefined) => (value !== undefined && Math.abs(value) < 2 ** 40 ? value : undefined)
  return { whole, min: sane(low), max: sane(high) }
}

/** Options as the server takes them: of what is known, without what is empty. */
export function cleaned(schema: ObjectSchema, values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const kept = Object.entries(values).filter(
    ([name, value]) =>
      Object.hasOwn(schema.properties, name) &&
      value !== undefined &&
      value !== null &&
      value !== '' &&
      !(Array.isArray(value) && value.length === 0),
  )
  return Object.fromEntries(kept)
}
