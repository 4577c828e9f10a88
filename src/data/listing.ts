import { type CaptionOptions, captionsOf, shortList } from './captions.ts'
import type { BrokenFile } from './errors.ts'
import { filesBelow } from './files.ts'

/** A picture of a folder and what is said of it. */
export interface ListedImage {
  /** Relative to the dataset's folder, with forward slashes. */
  readonly file: string
  readonly caption: string
}

/** The pictures of a folder, what cannot be used, and what a person should know. */
export interface Listing {
  readonly images: ListedImage[]
  readonly broken: BrokenFile[]
  readonly notes?: readonly string[]
}

/**
 * The pictures under a folder, by path, with their captions. Pictures are found by their first bytes, also behind links; captions come from a
 * `metadata.jsonl` or `metadata.csv` (`file_name` and `text` or `caption`, paths relative to that file) before those of a `.txt` or `.caption`
 * of the picture's name. Names that start with a dot are passed over.
 *
 * @throws DataError when there is no such folder
 */
export function listImages(dir: string, options: CaptionOptions = {}): Listing {
  const { files, broken, runs } = filesBelow(dir)
  const pictures = files.filter(({ picture }) => picture === 'read').map(({ file }) => file)
  const others = files.filter(({ picture }) => picture === undefined).map(({ file }) => file)
  for (const { file, picture } of files)
    if (picture === 'other') broken.push({ file, reason: 'only PNG, JPEG and WebP are read; convert it' })
  const { captions, broken: unread, notes } = captionsOf(dir, pictures, others, options)
  const linked = files.filter(({ picture, linked }) => picture === 'read' && linked).length
  if (linked > 0) notes.push(`${linked} of ${pictures.length} pictures lie behind links`)
  if (runs.length > 0) notes.push(`folders of training runs are passed over: ${shortList(runs)}`)
  return {
    images: pictures.map((file) => ({ file, caption: captions.get(file) as string })),
    broken: [...broken, ...unread],
    ...(notes.length > 0 && { notes }),
  }
}
