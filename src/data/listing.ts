import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { type BrokenFile, DataError } from './errors.ts'

/** A picture of a folder and what is said of it. */
export interface ListedImage {
  /** Relative to the dataset's folder, with forward slashes. */
  readonly file: string
  readonly caption: string
}

const readable = /\.(png|jpe?g|webp)$/i
/** Endings of pictures that are not read: named, so that they are not passed over in silence. */
const unreadable = /\.(gif|bmp|tiff?|avif|heic|heif|svg|jxl|jp2|psd|ico)$/i
const metadataName = 'metadata.jsonl'

/**
 * The pictures under a folder, by path, with their captions: those of a `metadata.jsonl` (lines of `file_name` and `text`,
 * paths relative to that file) before those of a `.txt` of the picture's name. Names that start with a dot are passed over.
 *
 * @throws DataError when there is no such folder
 */
export function listImages(dir: string): { images: ListedImage[]; broken: BrokenFile[] } {
  if (!statSync(dir, { throwIfNoEntry: false })?.isDirectory()) throw new DataError(dir, 'no such folder')
  const broken: BrokenFile[] = []
  const files = filesUnder(dir)
  const captions = new Map<string, string>()
  for (const file of files) if (posix.basename(file) === metadataName) readMetadata(dir, file, captions, broken)
  const images: ListedImage[] = []
  for (const file of files) {
    if (unreadable.test(file)) broken.push({ file, reason: 'only PNG, JPEG and WebP are read; convert it' })
    if (!readable.test(file)) continue
    const sidecar = join(dir, file.replace(/\.[^.]*$/, '.txt'))
    const caption = captions.get(file) ?? (existsSync(sidecar) ? readFileSync(sidecar, 'utf8').trim() : '')
    images.push({ file, caption })
  }
  return { images, broken }
}

/** Files below a folder as relative paths with forward slashes, in code-point order. Links to folders are not followed. */
function filesUnder(dir: string): string[] {
  const found: string[] = []
  const visit = (folder: string) => {
    for (const entry of readdirSync(join(dir, folder), { withFileTypes: true })) {
      if (entry.name.startsWith('.')) continue
      const path = posix.join(folder, entry.name)
      if (entry.isDirectory()) visit(path)
      else if (statSync(join(dir, path), { throwIfNoEntry: false })?.isFile()) found.push(path)
    }
  }
  visit('')
  return found.sort((a, b) => (a < b ? -1 : 1))
}

function readMetadata(dir: string, metadata: string, captions: Map<string, string>, broken: BrokenFile[]): void {
  const folder = posix.dirname(metadata)
  const lines = readFileSync(join(dir, metadata), 'utf8').split(/\r?\n/)
  for (const [i, line] of lines.entries()) {
    if (line.trim() === '') continue
    const fail = (reason: string) => broken.push({ file: `${metadata}:${i + 1}`, reason })
    let row: { file_name?: unknown; text?: unknown } | null
    try {
      row = JSON.parse(line)
    } catch (error) {
      fail(`not JSON: ${(error as Error).message}`)
      continue
    }
    const { file_name: name, text = '' } = row ?? {}
    if (typeof name !== 'string' || typeof text !== 'string') {
      fail('expected {"file_name": "…", "text": "…"}')
      continue
    }
    const file = posix.normalize(posix.join(folder, name.replaceAll('\\', '/')))
    if (posix.isAbsolute(name) || file.startsWith('../')) fail(`${name} lies outside of the dataset`)
    else if (captions.has(file)) fail(`${name} is named twice`)
    else if (!existsSync(join(dir, file))) fail(`${name} does not exist in ${dirname(join(dir, metadata))}`)
    else captions.set(file, text)
  }
}
