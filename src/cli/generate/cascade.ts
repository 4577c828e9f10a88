import { existsSync } from 'node:fs'
import type { CascadeStage, LoadOptions } from '../../pipelines/index.ts'
import { UsageError } from '../errors.ts'
import { camelOf, flagOf } from '../options.ts'
import { type Options, ofPages } from './options.ts'
import { optionOf } from './run-options.ts'

/** The later stages of a cascade: what `--then` names, opened on the same device. @throws UsageError, ImageError, ConfigError */
export async function laterStages(given: Options, load: LoadOptions): Promise<CascadeStage[]> {
  const { device, threads, variant, lowMemory, hub } = load
  const shared = Object.entries({ device, threads, variant, lowMemory, hub }).filter(([, value]) => value !== undefined)
  const stages: CascadeStage[] = []
  for (const text of given.then) stages.push({ ...(await stageOf(text, '--then')), load: Object.fromEntries(shared) })
  return stages
}

/** `MODEL; OPTION=VALUE; …` as a stage. @param flag what errors call the place. @throws UsageError, ImageError, ConfigError */
export async function stageOf(text: string, flag: string): Promise<CascadeStage> {
  const [model = '', ...options] = existsSync(text) ? [text] : text.split(';').map((part) => part.trim())
  if (model === '' || /^[\w-]+=/.test(model))
    throw new UsageError(`${flag}: ${text}: expected MODEL, or "MODEL; OPTION=VALUE; …"`)
  const read: Record<string, unknown> = {}
  for (const option of options.filter((one) => one !== '')) {
    const [, left = '', right = ''] = /^([\w-]+)\s*=\s*(.*)$/s.exec(option) ?? []
    const name = camelOf(left)
    if (!ofPages.has(name))
      throw new UsageError(`${flag}: ${option}: expected OPTION=VALUE with an option of a model, as steps=30`)
    read[name] = await optionOf(name, parsed(name, right, flag))
  }
  return { model, options: read }
}

/** A flag's value from its text. @throws UsageError where the flag would not take it */
function parsed(name: string, text: string, flag: string): unknown {
  const number = text.trim() !== '' && Number.isFinite(Number(text)) ? [Number(text)] : []
  const list = text.split(',').map((one) => one.trim())
  const numbers = list.every((one) => one !== '' && Number.isFinite(Number(one))) ? [list.map(Number)] : []
  const truth = text === 'true' || text === 'false' ? [text === 'true'] : []
  const fits = [...number, ...truth, text, ...numbers, list].find((one) => ofPages.get(name)?.schema.safeParse(one).success)
  if (fits === undefined || text === '')
    throw new UsageError(`${flag}: ${text === '' ? 'an empty value' : text} is no ${flagOf(name)}`)
  return fits
}
