import { existsSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { DataError } from './errors.ts'
import { filesBelow } from './files.ts'
import { hashOf } from './hash.ts'
import { decodeText } from './text.ts'

/** A text to learn from as a whole. */
export interface TextDocument {
  /** What it is called: its file, with `:line` in a file of several. */
  readonly name: string
  readonly text: string
  /** What else is known of it. */
  readonly attributes: Readonly<Record<string, string | number>>
}

/**
 * One's own texts: a `.txt` or `.md` file is one, every line of a `.jsonl` file is one by its `text`, its other words and numbers its
 * attributes. A folder is all such files below it.
 *
 * @throws DataError that lists all files which cannot be read; where there is none
 */
export function readDocuments(path: string): TextDocument[] {
  if (!existsSync(path)) throw new DataError(path, 'no such file or folder of texts')
  const single = statSync(path).isFile()
  const [dir, below] = single ? [dirname(path), { files: [{ file: basename(path) }], broken: [] }] : [path, filesBelow(path)]
  const broken = [...below.broken]
  const documents: TextDocument[] = []
  for (const { file } of below.files) {
    if (!/\.(txt|md|jsonl)$/i.test(file)) continue
    const { text, fault } = decodeText(readFileSync(join(dir, file)))
    if (text === undefined) broken.push({ file, reason: fault })
    else if (!/\.jsonl$/i.test(file)) documents.push({ name: file, text: text.trim(), attributes: {} })
    else
      for (const [i, line] of text.split('\n').entries()) {
        if (line.trim() === '') continue
        const read = documentIn(line)
        if (typeof read === 'string') broken.push({ file: `${file}:${i + 1}`, reason: read })
        else documents.push({ name: `${file}:${i + 1}`, ...read })
      }
  }
  if (broken.length > 0) throw new DataError(path, `${broken.length} cannot be read`, broken)
  const whole = documents.filter(({ text }) => text !== '')
  if (whole.length === 0) throw new DataError(path, 'holds no text: give a .txt, .md or .jsonl file, or a folder of them')
  return whole
}

/** A line of a `.jsonl` file, or what is wrong with it. */
function documentIn(line: string): Omit<TextDocument, 'name'> | string {
  let row: unknown
  try {
    row = JSON.parse(line)
  } catch (error) {
    return `not JSON: ${(error as Error).message}`
  }
  const { text, ...rest } = (typeof row === 'object' && row !== null ? row : {}) as Record<string, unknown>
  if (typeof text !== 'string') return 'has no "text"'
  const simple = Object.entries(rest).filter(([, value]) => typeof value === 'string' || typeof value === 'number')
  return { text: text.trim(), attributes: Object.fromEntries(simple) as Record<string, string | number> }
}

/** Whether a text of one's own is held out: about this share of them, by their names. */
export const isHeldOutDocument = (name: string, share: number): boolean => hashOf(`held out ${name}`) < share * 2 ** 32
