import { readFileSync } from 'node:fs'
import { inWords } from '../../core/system-error.ts'
import { UsageError } from '../errors.ts'
import { camelOf, flagOf } from '../options.ts'
import { ofPages } from './options.ts'

/** One run of several: what it changes of the options. */
export type Job = Readonly<Record<string, unknown>>

/** The lines of a file of prompts; empty ones and those that begin with # are left out. @throws UsageError */
export function promptLines(file: string): string[] {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new UsageError(`--prompts: ${file}: ${inWords(cause as NodeJS.ErrnoException)}`, { cause })
  }
  const lines = text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
  if (lines.length === 0) throw new UsageError(`--prompts: ${file} has no line with a prompt`)
  return lines
}

/** What a grid varies: an option and its values. */
export interface Axis {
  readonly name: string
  readonly values: readonly unknown[]
}

/** Runs that an axis may ask for together. */
const most = 400

/** `steps=10,20; guidance=1,4; scheduler=ddim,euler`: one to three axes. @throws UsageError */
export function axesOf(text: string): Axis[] {
  const axes = text.split(';').flatMap((part): Axis[] => {
    if (part.trim() === '') return []
    const [, left = '', right = ''] = /^\s*([\w-]+)\s*=(.*)$/s.exec(part) ?? []
    const name = camelOf(left)
    const flag = ofPages.get(name)
    if (!flag || (flag.reading !== 'plain' && flag.reading !== 'config'))
      throw new UsageError(
        `--xyz: ${part.trim()}: expected OPTION=VALUE,VALUE with an option that is a number or a word, as steps=10,20`,
      )
    const values = right.split(',').map((value) => value.trim())
    const read = values.map((value) => {
      const as = [value, ...(value !== '' && Number.isFinite(Number(value)) ? [Number(value)] : [])]
      const fits = as.findLast((one) => flag.schema.safeParse(one).success)
      if (fits === undefined || value === '')
        throw new UsageError(`--xyz: ${value === '' ? 'an empty value' : value} is no ${flagOf(name)}`)
      return fits
    })
    return [{ name, values: read }]
  })
  const runs = axes.reduce((product, { values }) => product * values.length, 1)
  if (axes.length === 0 || axes.length > 3)
    throw new UsageError(`--xyz: expected one to three options with their values, got ${axes.length}`)
  if (new Set(axes.map(({ name }) => name)).size < axes.length) throw new UsageError('--xyz: an option stands there twice')
  if (runs > most) throw new UsageError(`--xyz: ${runs} pictures; ${most} at most`)
  return axes
}

/** Every combination, the first axis changing fastest. */
export const combinations = (axes: readonly Axis[]): Job[] =>
  axes.reduceRight<Job[]>(
    (jobs, { name, values }) => jobs.flatMap((job) => values.map((value) => ({ ...job, [name]: value }))),
    [{}],
  )
