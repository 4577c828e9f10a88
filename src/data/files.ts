import { closeSync, type Dirent, openSync, readdirSync, readSync, realpathSync, type Stats, statSync } from 'node:fs'
import { join, posix } from 'node:path'
import { inWords } from '../core/system-error.ts'
import { formatOf } from '../images/index.ts'
import { type BrokenFile, DataError } from './errors.ts'

/** A file below a folder. */
export interface FoundFile {
  /** Relative to the folder, with forward slashes. */
  readonly file: string
  /** Whether it is a picture that is read, or one of another format: by its first bytes, else by its name. */
  readonly picture: 'read' | 'other' | undefined
  /** Whether a link leads to it. */
  readonly linked: boolean
}

const named = /\.(png|jpe?g|webp)$/i
/** Endings of pictures that are not read: named, so that they are not passed over in silence. */
const otherNamed = /\.(gif|bmp|tiff?|avif|heic|heif|svg|jxl|jp2|psd|ico)$/i
/** First bytes of the same: GIF, TIFF, Photoshop, AVIF and HEIF, JPEG XL, JPEG 2000. */
const otherStarts = /^(GIF8|II\*\0|MM\0\*|8BPS|.{4}(ftyp(avi|hei|mif)|JXL |jP {2}))/s

/** What every training run's folder has. */
const runFiles = ['environment.json', 'log.csv', 'logs']

/**
 * The files below a folder in code-point order. Links are followed, to folders too. Names that start with a dot are passed over. What cannot
 * be followed or read is reported: links to nothing, links to a folder that they lie in. Folders of training runs are passed over: their grids of
 * samples are no data.
 *
 * @throws DataError when there is no such folder
 */
export function filesBelow(dir: string): { files: FoundFile[]; broken: BrokenFile[]; runs: string[] } {
  const files: FoundFile[] = []
  const broken: BrokenFile[] = []
  const runs: string[] = []

  const visit = (folder: string, above: readonly string[], linked: boolean) => {
    const entries = attempt(() => readdirSync(join(dir, folder), { withFileTypes: true }))
    if (typeof entries === 'string') {
      broken.push({ file: folder, reason: entries })
      return
    }
    const names = new Set(entries.map(({ name }) => name))
    if (folder !== '' && runFiles.every((name) => names.has(name))) {
      runs.push(folder)
      return
    }
    for (const entry of entries) if (!entry.name.startsWith('.')) enter(entry, posix.join(folder, entry.name), above, linked)
  }
  const enter = (entry: Dirent, file: string, above: readonly string[], linked: boolean) => {
    const throughLink = linked || entry.isSymbolicLink()
    const found = attempt<Stats>(() => statSync(join(dir, file)))
    if (typeof found === 'string') broken.push({ file, reason: found })
    else if (found.isDirectory()) {
      const real = realpathSync(join(dir, file))
      if (above.includes(real)) broken.push({ file, reason: 'a link to a folder that it lies in; remove it' })
      else visit(file, [...above, real], throughLink)
    } else if (found.isFile()) {
      const head = attempt(() => firstBytes(join(dir, file)))
      if (typeof head === 'string') broken.push({ file, reason: head })
      else files.push({ file, picture: pictureIn(file, head), linked: throughLink })
    }
  }

  visit('', [rootOf(dir)], false)
  return { files: files.sort((a, b) => (a.file < b.file ? -1 : 1)), broken, runs }
}

/** The folder's own path, all links followed. @throws DataError */
function rootOf(dir: string): string {
  const found = attempt(() => {
    if (!statSync(dir).isDirectory()) return { none: 'a file, no folder of pictures' }
    return { real: realpathSync(dir) }
  })
  if (typeof found === 'string') throw new DataError(dir, /^a link to nothing/.test(found) ? 'no such folder' : found)
  if (found.real === undefined) throw new DataError(dir, found.none as string)
  return found.real
}

/** What a call gives, or why the system refuses it. */
function attempt<T>(call: () => T): T | string {
  try {
    return call()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ELOOP') return 'a link that leads to itself; remove it'
    if (code === 'ENOENT') return 'a link to nothing; remove it, or bring back what it leads to'
    return `cannot be read: ${inWords(error)}`
  }
}

function firstBytes(path: string): Buffer {
  const head = Buffer.alloc(32)
  const fd = openSync(path, 'r')
  try {
    return head.subarray(0, readSync(fd, head, 0, head.length, 0))
  } finally {
    closeSync(fd)
  }
}

function pictureIn(file: string, head: Buffer): FoundFile['picture'] {
  const format = formatOf(head)
  // Single files may be a GIF or TIFF; a folder to train on holds PNG, JPEG and WebP.
  if (format === 'gif' || format === 'tiff') return 'other'
  if (format) return 'read'
  if (otherNamed.test(file) || otherStarts.test(head.toString('latin1'))) return 'other'
  // A name that promises a picture: reading it says what is wrong.
  return named.test(file) ? 'read' : undefined
}
