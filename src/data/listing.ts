import { type CaptionOptions, captionsOf, shortList } from './captions.ts'
import type { BrokenFile } from './errors.ts'
import { filesBelow } from './files.ts'

/** A picture of a folder and what is said of it. */
export interface ListedImage {
  /** Relative to the dataset's folder, with forward slashes. */
  readonly file: string
  readonly caption: string
  /** The file of its control image, where a column was named for them. */
  readonly condition?: string
}

export interface ListingOptions extends CaptionOptions {
  /** The column of the metadata that names each picture's control image, by its path in the dataset's folder. */
  readonly conditionColumn?: string
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
export function listImages(dir: string, { conditionColumn, ...options }: ListingOptions = {}): Listing {
  const { files, broken, runs } = filesBelow(dir)
  const all = files.filter(({ picture }) => picture === 'read').map(({ file }) => file)
  const others = files.filter(({ picture }) => picture === undefined).map(({ file }) => file)
  const conditions = conditionColumn === undefined ? undefined : conditionsOf(dir, all, others, conditionColumn)
  if (conditions) broken.push(...conditions.broken)
  const pictures = conditions ? all.filter((file) => !conditions.files.has(file)) : all
  for (const { file, picture } of files)
    if (picture === 'other') broken.push({ file, reason: 'only PNG, JPEG and WebP are read; convert it' })
  const { captions, broken: unread, notes } = captionsOf(dir, pictures, others, options)
  const linked = files.filter(({ picture, linked }) => picture === 'read' && linked).length
  if (linked > 0) notes.push(`${linked} of ${all.length} pictures lie behind links`)
  if (runs.length > 0) notes.push(`folders of training runs are passed over: ${shortList(runs)}`)
  return {
    images: pictures.flatMap((file) => {
      const image = { file, caption: captions.get(file) as string }
      if (!conditions) return [image]
      const condition = conditions.of.get(file)
      return condition === undefined ? [] : [{ ...image, condition }]
    }),
    broken: [...broken, ...unread],
    ...(notes.length > 0 && { notes }),
  }
}

/** The control image of each picture, by a column of the metadata that is read as captions are; a picture without one is broken. */
function conditionsOf(dir: string, pictures: readonly string[], others: readonly string[], column: string) {
  const { captions, broken } = captionsOf(dir, pictures, others, { captionColumn: column })
  const named = [...captions].filter(([, condition]) => condition !== '')
  const files = new Set(named.map(([, condition]) => condition))
  const known = new Set(pictures)
  const of = new Map(named.filter(([, condition]) => known.has(condition)))
  const reasons = pictures.flatMap((file) => {
    const condition = captions.get(file) ?? ''
    if (of.has(file) || files.has(file)) return []
    return [
      {
        file,
        reason: condition === '' ? `has no ${column}` : `its ${column} is ${condition}, and the folder has no such picture`,
      },
    ]
  })
  return { of, files, broken: [...broken, ...reasons] }
}
