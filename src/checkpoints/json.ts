import { inWords } from '../core/system-error.ts'
import { readFileSync } from '../runtime/system.ts'
import { writeAtomic } from './atomic.ts'
import { ConfigError, quote } from './errors.ts'

export type Json = Record<string, unknown>

export const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * An object from a JSON file.
 *
 * @throws ConfigError
 */
export function readJson(file: string): Json {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ConfigError(file, `cannot be read: ${inWords(cause)}`, { cause })
  }
  let value: unknown
  try {
    value = parsePython(text)
  } catch (cause) {
    throw new ConfigError(file, `not JSON: ${(cause as Error).message}`, { cause })
  }
  if (!isObject(value)) throw new ConfigError(file, `must hold an object, got ${describe(value)}`)
  return value
}

const NOT_A_NUMBER = '\0NaN'

/**
 * Python writes NaN and infinities bare, which JSON has not (diffusers' `"lambda_min_clipped": -Infinity`). Numbers too large for a
 * double stand for infinities, and a string that no config has for NaN. Strings are left as they are; nothing here recurses.
 */
function parsePython(text: string): unknown {
  if (!/Infinity|NaN/.test(text)) return JSON.parse(text)
  let plain = ''
  let at = 0
  while (at < text.length) {
    const open = text.indexOf('"', at)
    const bare = text.slice(at, open < 0 ? text.length : open)
    plain += bare.replaceAll('Infinity', '1e999').replace(/(?<![-\w])NaN\b/g, JSON.stringify(NOT_A_NUMBER))
    if (open < 0) break
    let close = text.indexOf('"', open + 1)
    while (close >= 0 && isEscaped(text, close)) close = text.indexOf('"', close + 1)
    at = close < 0 ? text.length : close + 1
    plain += text.slice(open, at)
  }
  return JSON.parse(plain, (_, value) => (value === NOT_A_NUMBER ? NaN : value))
}

/** Whether an odd number of backslashes stands before a position. */
export function isEscaped(text: string, at: number): boolean {
  let from = at
  while (text[from - 1] === '\\') from--
  return (at - from) % 2 === 1
}

/**
 * As Python's `json.dumps(value, indent=2, sort_keys=True)` with a line end: the form of diffusers' own files. Written in one
 * step (`writeAtomic`).
 *
 * @throws ConfigError for NaN and infinities, which JSON cannot hold; SaveError
 */
export function writeJson(file: string, value: Json): void {
  writeAtomic(file, `${JSON.stringify(sorted(value, file, ''), null, 2)}\n`)
}

function sorted(value: unknown, file: string, field: string): unknown {
  if (Array.isArray(value)) return value.map((inner, i) => sorted(inner, file, `${field}[${i}]`))
  if (isObject(value)) {
    const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
    return Object.fromEntries(members.map(([key, inner]) => [key, sorted(inner, file, field ? `${field}.${key}` : key)]))
  }
  if (typeof value === 'number' && !Number.isFinite(value)) throw new ConfigError(file, `JSON cannot hold ${value}`, { field })
  return value
}

/** A value in a few words, for errors. */
export function describe(value: unknown): string {
  if (Array.isArray(value)) return 'an array'
  return isObject(value) ? 'an object' : quote(String(value))
}

/** Whether a name from a file stays in its folder on every system: no separators, drives or dots alone. */
export function isPlainName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !name.includes('\0') && !/[/\\]|^[a-z]:/i.test(name)
}
