import { type Command, Option } from 'commander'
import { z } from 'zod'
import { regrouped, renamed } from './arguments.ts'
import { UsageError } from './errors.ts'

/** What the flags and arguments of a command may be: the keys become flags, `.meta({ description })` their help. */
export type Schema = z.ZodObject

/** The parts of a JSON schema that a flag is made of. */
interface Property {
  type?: string
  description?: string
  default?: unknown
  enum?: unknown[]
  const?: unknown
  items?: Property
  anyOf?: Property[]
  /** A boolean with a flag for yes and one for no, where nothing said leaves the choice to the program. */
  negatable?: boolean
}

const kebab = (key: string) =>
  key
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .replaceAll('_', '-')
    .toLowerCase()
/** The key that a flag's words stand for: `--clip-skip`, `clip_skip` and `clipSkip` are one. */
export const camelOf = (key: string): string => camel(key)

const camel = (key: string) => kebab(key).replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())

/** The flag of a schema's key. */
export const flagOf = (key: string): string => `--${kebab(key)}`

/** The alternatives of a union, or the property itself. */
const alternatives = (property: Property): Property[] => property.anyOf?.flatMap(alternatives) ?? [property]

const accepts = (property: Property, type: string): boolean =>
  alternatives(property).some((one) => one.type === type || (type === 'number' && one.type === 'integer'))

/** The fixed words that a flag accepts where it accepts nothing else. */
function choices(property: Property): string[] | undefined {
  const all = alternatives(property).map((one) => one.enum ?? (one.const === undefined ? undefined : [one.const]))
  return all.every((words) => words !== undefined) ? all.flat().map(String) : undefined
}

function placeholder(property: Property): string {
  if (property.type === 'array') return `${placeholder(property.items ?? {})}...`
  if (accepts(property, 'number')) return 'number'
  return choices(property) ? 'choice' : 'text'
}

function describe(property: Property): string {
  const words = choices(property.items ?? property)
  const notes = [
    words && `one of ${words.join(', ')}`,
    property.default !== undefined && typeof property.default !== 'boolean' && `default ${JSON.stringify(property.default)}`,
  ].filter(Boolean)
  return [property.description, notes.length > 0 && `(${notes.join('; ')})`].filter(Boolean).join(' ')
}

/** Numbers are read where the schema takes one; what remains text is the schema's to refuse. */
function read(property: Property, text: unknown): unknown {
  if (Array.isArray(text)) return text.map((one) => read(property.items ?? {}, one))
  if (typeof text !== 'string') return text
  const number = Number(text)
  return accepts(property, 'number') && text.trim() !== '' && !Number.isNaN(number) ? number : text
}

/**
 * Gives a command the flags and arguments of a zod object, and returns what reads them.
 *
 * `guidance_scale` and `guidanceScale` both become `--guidance-scale`; a boolean that is true by default becomes
 * `--no-…`. Keys in `positional` become arguments, in that order. The reader throws UsageError, naming every
 * flag that is wrong. `aliases` are other names of flags, as `--negative-prompt` for `--negative`.
 */
export function addOptions<S extends Schema>(
  command: Command,
  schema: S,
  positional: readonly string[] = [],
  aliases: Readonly<Record<string, string>> = {},
): () => z.infer<S> {
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as {
    properties?: Record<string, Property>
    required?: string[]
  }
  const nameOf = (key: string) => (positional.includes(key) ? `<${kebab(key)}>` : flagOf(key))

  for (const key of positional) {
    const dots = properties[key]?.type === 'array' ? '...' : ''
    const name = kebab(key) + dots
    command.argument(required.includes(key) ? `<${name}>` : `[${name}]`, describe(properties[key] ?? {}))
  }
  for (const [key, property] of Object.entries(properties)) {
    if (positional.includes(key)) continue
    const flag =
      property.type !== 'boolean'
        ? `${flagOf(key)} <${placeholder(property)}>`
        : property.default === true
          ? `--no-${kebab(key)}`
          : flagOf(key)
    command.addOption(new Option(flag, describe(property)))
    if (property.negatable) command.addOption(new Option(`--no-${kebab(key)}`, `not ${flagOf(key)}`))
  }

  const parse = command.parseOptions.bind(command)
  const takes = (name: string): 'none' | 'one' | 'list' | undefined => {
    const option = command.options.find(({ long, short }) => long === name || short === name)
    return option && (option.variadic ? 'list' : option.required ? 'one' : 'none')
  }
  const wanted = positional.filter((key) => required.includes(key) || key === positional[0]).length
  command.parseOptions = (args) =>
    parse(
      regrouped(
        args.map((arg) => renamed(arg, aliases)),
        takes,
        wanted,
        takenBefore(command, args),
      ),
    )

  return () => {
    const given: Record<string, unknown> = {}
    for (const [key, property] of Object.entries(properties)) {
      const place = positional.indexOf(key)
      const value = place >= 0 ? command.processedArgs[place] : command.getOptionValue(camel(key))
      const source = place >= 0 ? value !== undefined : command.getOptionValueSource(camel(key)) === 'cli'
      if (source) given[key] = read(property, value)
    }
    const parsed = schema.safeParse(given)
    if (parsed.success) return parsed.data
    const faults = parsed.error.issues.map(({ path, message }) => `${nameOf(String(path[0] ?? ''))}: ${message}`)
    throw new UsageError(faults.join('\n'))
  }
}

/** Arguments that the program itself has read before it handed the rest, from the first flag on, to its command. */
const takenBefore = ({ parent }: Command, rest: readonly string[]): number =>
  parent ? Math.max(0, parent.args.length - 1 - rest.length) : 0

/** `--guidance_scale`, as diffusers writes its flags, to `--guidance-scale`. Everything after `--` stays. */
export function normalise(args: readonly string[]): string[] {
  const end = args.indexOf('--')
  return args.map((arg, i) => {
    const flag = end < 0 || i < end ? /^--[A-Za-z0-9_-]+/.exec(arg)?.[0] : undefined
    return flag ? flag.replaceAll('_', '-') + arg.slice(flag.length) : arg
  })
}
