import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import type { BrokenFile } from './errors.ts'
import { decodeText, parseCsv } from './text.ts'

const metadataNames = /^metadata\.(jsonl|csv)$/i
/** Names that were meant for metadata: not read, and not passed over. */
const nearNames = /^(metadata|captions?|prompts?)(\.\w+)?\.(jsonl?|csv|tsv|txt|parquet|ya?ml)$|^metadata$/i
const sidecarEndings = ['.txt', '.caption'] as const
/** Columns that hold captions, the first that a file has. */
const captionColumns = ['text', 'caption'] as const

export interface CaptionOptions {
  /** The column of the metadata that holds the captions, unless it is `text` or `caption`. */
  readonly captionColumn?: string
}

interface Row {
  readonly line: number
  readonly fields: Readonly<Record<string, unknown>>
}

/**
 * Captions of the pictures below a folder: of a `metadata.jsonl` or `metadata.csv` (`file_name` and `text`, paths relative to that file)
 * before those of a `.txt` or `.caption` file of the picture's name.
 *
 * @param others the files that are no pictures
 * @returns captions by picture, '' where there is none; what cannot be used; what a person should know
 */
export function captionsOf(
  dir: string,
  pictures: readonly string[],
  others: readonly string[],
  { captionColumn }: CaptionOptions = {},
): { captions: Map<string, string>; broken: BrokenFile[]; notes: string[] } {
  const broken: BrokenFile[] = []
  const notes: string[] = []
  const stems = new Set(pictures.map((file) => stemOf(file).toLowerCase()))
  const fromRows = new Map<string, string>()
  const metadata = others.filter((file) => metadataNames.test(posix.basename(file)))
  for (const file of metadata) {
    const fail = (line: number, reason: string) => broken.push({ file: line > 0 ? `${file}:${line}` : file, reason })
    const rows = rowsOf(dir, file, fail)
    const column = captionColumn ?? captionColumns.find((name) => rows.some(({ fields }) => name in fields))
    if (column === undefined || !rows.some(({ fields }) => column in fields)) {
      const there = [...new Set(rows.flatMap(({ fields }) => Object.keys(fields)))].filter((name) => name !== 'file_name')
      if (rows.length > 0 && captionColumn !== undefined)
        fail(0, `no row has the column ${captionColumn}; there are ${there.join(', ') || 'none'}`)
      else if (rows.length > 0)
        notes.push(`${file} gives no captions: its rows have no text or caption, but ${there.join(', ') || 'file_name alone'}`)
    }
    for (const { line, fields } of rows) {
      const fault = addRow(dir, file, fields, column ?? 'text', fromRows)
      if (fault) fail(line, fault)
    }
  }
  for (const file of others)
    if (!metadata.includes(file) && nearNames.test(posix.basename(file)) && !stems.has(stemOf(file).toLowerCase()))
      broken.push({
        file,
        reason: 'captions are read from metadata.jsonl or metadata.csv, and this is neither; rename, convert or remove it',
      })

  const texts = new Map(others.map((file) => [file.toLowerCase(), file]))
  const captions = new Map<string, string>()
  for (const picture of pictures) {
    const sidecar = sidecarEndings.map((ending) => texts.get(`${stemOf(picture)}${ending}`.toLowerCase())).find((file) => file)
    const row = fromRows.get(picture)
    if (row === undefined && sidecar) {
      const { text, fault } = decodeText(readFileSync(join(dir, sidecar)))
      if (fault !== undefined) broken.push({ file: sidecar, reason: fault })
      captions.set(picture, text?.trim() ?? '')
    } else captions.set(picture, row?.trim() ?? '')
  }
  const without = pictures.filter((picture) => captions.get(picture) === '')
  const some = pictures.length > without.length || metadata.length > 0
  if (without.length > 0 && some)
    notes.push(`${without.length} of ${pictures.length} pictures have no caption: ${shortList(without)}`)
  const stray = others.filter(
    (file) => /\.(txt|caption)$/i.test(file) && !stems.has(stemOf(file).toLowerCase()) && !nearNames.test(posix.basename(file)),
  )
  if (without.length > 0 && stray.length > 0) notes.push(`${shortList(stray)}: no picture has this name, and it is no caption`)
  return { captions, broken, notes }
}

/** A path without its ending. */
function stemOf(file: string): string {
  const { dir, name } = posix.parse(file)
  return posix.join(dir, name)
}

/** The first few of a list. */
export const shortList = (names: readonly string[], most = 3): string =>
  names.length > most ? `${names.slice(0, most).join(', ')} and ${names.length - most} more` : names.join(', ')

function rowsOf(dir: string, file: string, fail: (line: number, reason: string) => void): Row[] {
  const { text, fault } = decodeText(readFileSync(join(dir, file)))
  if (fault !== undefined) {
    fail(0, fault)
    return []
  }
  return /csv$/i.test(file) ? csvRows(text, fail) : jsonRows(text, fail)
}

function jsonRows(text: string, fail: (line: number, reason: string) => void): Row[] {
  return text.split(/\r?\n/).flatMap((line, i) => {
    if (line.trim() === '') return []
    try {
      const fields: unknown = JSON.parse(line)
      if (typeof fields === 'object' && fields !== null && !Array.isArray(fields))
        return [{ line: i + 1, fields: fields as Record<string, unknown> }]
      fail(i + 1, 'expected {"file_name": "…", "text": "…"}')
    } catch (error) {
      fail(i + 1, `not JSON: ${(error as Error).message}`)
    }
    return []
  })
}

function csvRows(text: string, fail: (line: number, reason: string) => void): Row[] {
  const { rows, fault } = parseCsv(text)
  if (fault) fail(fault.line, fault.reason)
  const [header, ...rest] = rows
  if (!header) return []
  const names = header.fields.map((name) => name.trim())
  if (!names.includes('file_name')) {
    fail(header.line, `the first line must name the columns, file_name among them, separated by commas; got ${shortList(names)}`)
    return []
  }
  return rest.flatMap(({ line, fields }) => {
    if (fields.length === names.length) return [{ line, fields: Object.fromEntries(names.map((name, i) => [name, fields[i]])) }]
    fail(line, `${fields.length} fields where the first line names ${names.length}; put texts with commas in quotes`)
    return []
  })
}

/** Notes a row's caption; the fault that it has, if any. */
function addRow(
  dir: string,
  metadata: string,
  fields: Readonly<Record<string, unknown>>,
  column: string,
  captions: Map<string, string>,
): string | undefined {
  const { file_name: name } = fields
  const text = fields[column] ?? ''
  if (typeof name !== 'string' || typeof text !== 'string') return `expected {"file_name": "…", "${column}": "…"}`
  const file = posix.normalize(posix.join(posix.dirname(metadata), name.replaceAll('\\', '/')))
  if (posix.isAbsolute(name) || file.startsWith('../')) return `${name} lies outside of the dataset`
  if (captions.has(file)) return `${name} is named twice`
  if (!existsSync(join(dir, file))) return `${name} does not exist in ${dirname(join(dir, metadata))}`
  captions.set(file, text)
  return undefined
}
