import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { saving, writeAtomic } from '../../checkpoints/atomic.ts'
import { ArgumentError } from '../../core/errors.ts'

/** A table with a row a step. */
export interface CsvLog<Column extends string> {
  /** Appends a row; a column without a value stays empty. Numbers are written so that they read back bit for bit. */
  write(step: number, values: Readonly<Partial<Record<Column, number>>>): void
}

/**
 * A CSV file with the columns `step` and those given. A file that is there is replaced, unless the run resumes:
 * then it is kept up to and with `resumeStep`, and what a killed run wrote after that, a torn last line too, is cut off.
 *
 * @throws ArgumentError where the file to resume has other columns; SaveError where it cannot be written
 */
export function csvLog<Column extends string>(
  path: string,
  columns: readonly Column[],
  { resumeStep }: { resumeStep?: number } = {},
): CsvLog<Column> {
  const header = headerOf(columns)
  const kept = keptRows(path, header, resumeStep)
  saving(path, () => mkdirSync(dirname(path), { recursive: true }))
  writeAtomic(path, [header, ...kept, ''].join('\n'))
  return {
    write(step, values) {
      const row = [step, ...columns.map((column) => values[column] ?? '')].join(',')
      saving(path, () => appendFileSync(path, `${row}\n`))
    },
  }
}

/** @throws ArgumentError where `csvLog` would, and writes nothing */
export function checkColumns(path: string, columns: readonly string[], { resumeStep }: { resumeStep?: number } = {}): void {
  keptRows(path, headerOf(columns), resumeStep)
}

const headerOf = (columns: readonly string[]) => ['step', ...columns].join(',')

/** The rows of a log up to and with a step; none where it is begun anew. */
function keptRows(path: string, header: string, resumeStep: number | undefined): string[] {
  if (!resumeStep || !existsSync(path)) return []
  const [found, ...rows] = readFileSync(path, 'utf8').split('\n').slice(0, -1) // After the last line break stands a torn line, or nothing.
  if (found !== header) {
    throw new ArgumentError(
      `${path}: to resume, the columns must be ${header}, got ${found ?? 'an empty file'}; log to another file`,
    )
  }
  return rows.filter((row) => Number.parseInt(row, 10) <= resumeStep)
}
