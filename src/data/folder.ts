import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { ArgumentError } from '../core/errors.ts'
import { type Colour, decodePixels, ImageError, type Pixels, readHeader, toTensor } from '../images/index.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { Generator } from '../runtime/random.ts'
import { shortList } from './captions.ts'
import { mapConcurrently } from './concurrent.ts'
import { type Batch, type Dataset, epochOrder, labelsOf } from './dataset.ts'
import { type BrokenFile, DataError } from './errors.ts'
import { type ListedImage, listImages } from './listing.ts'

export interface ImageFolderOptions {
  readonly dir: string
  /** Pixels a side: the shorter side is resized to it (Lanczos), the longer one cropped. */
  readonly size: number
  /** Where the crop lies; `center` by default. */
  readonly crop?: 'center' | 'random'
  /** Mirrors half of the pictures, left to right; never those whose captions say `left` or `right`. Off unless given. */
  readonly flip?: boolean
  /** 3 (the default): RGB. 1: luminance, for networks of one channel. */
  readonly channels?: 1 | 3
  readonly seed?: number
  /** What transparent pictures are laid over; white by default. */
  readonly background?: Colour
  /**
   * How much of every file is read at the start: all of it (`decode`, the default: no surprise in hour five), or what its
   * header says (`header`: faster).
   */
  readonly verify?: 'decode' | 'header'
  /** With broken files: an error that lists them all (`throw`, the default), or the dataset without them (`skip`). */
  readonly broken?: 'throw' | 'skip'
  /** A picture without a caption counts as broken. */
  readonly captioned?: boolean
  /** The column of the metadata that holds the captions, unless it is `text` or `caption`. */
  readonly captionColumn?: string
  /** The column of the metadata that names each picture's control image, which batches then hold too. */
  readonly conditionColumn?: string
  /** A picture that lies in no class's folder counts as broken. */
  readonly labelled?: boolean
  /** Most pixels of a file; 64 Mi by default. */
  readonly maxPixels?: number
  readonly onProgress?: (done: number, total: number) => void
  /** Called with what a person should know of the folder: pictures without captions, links, what is never mirrored. `console.warn` unless given. */
  readonly warn?: (message: string) => void
}

/** Pictures of a folder, each once an epoch in an order of its own. */
export interface ImageFolder extends Dataset {
  readonly files: readonly string[]
  /** What was left out, with `broken: 'skip'`. */
  readonly skipped: readonly BrokenFile[]
  /** Tells this folder's pictures, sizes, captions and order from others'. */
  readonly fingerprint: string
}

interface Entry extends ListedImage {
  readonly width: number
  readonly height: number
}

/** Files that are open at a time. */
const open = 8

/**
 * A folder of PNG, JPEG and WebP pictures, with captions where it has them (`listImages`). Subfolders of the first level are
 * the classes, as in torchvision's ImageFolder; without subfolders there are none, and every label is 0.
 *
 * @throws DataError with every broken file and its reason; ArgumentError
 */
export async function imageFolder(options: ImageFolderOptions): Promise<ImageFolder> {
  const { dir, size, crop = 'center', flip = false, channels = 3, seed = 0, verify = 'decode', warn = console.warn } = options
  if (!Number.isInteger(size) || size < 1) throw new ArgumentError(`imageFolder: expected a size in whole pixels, got ${size}`)
  const { captionColumn, conditionColumn, background } = options
  const columns = {
    ...(captionColumn !== undefined && { captionColumn }),
    ...(conditionColumn !== undefined && { conditionColumn }),
  }
  const listed = listImages(dir, columns)
  const broken = [...listed.broken]
  const limits = {
    ...(background ? { background } : {}),
    ...(options.maxPixels === undefined ? {} : { maxPixels: options.maxPixels }),
  }
  /** The whole picture with its shorter side at `size`. */
  const read = ({ width, height }: Entry, file: string): Promise<Pixels> => {
    const scale = size / Math.min(width, height)
    const resize = { width: Math.max(size, Math.round(width * scale)), height: Math.max(size, Math.round(height * scale)) }
    return decodePixels(join(dir, file), { ...limits, resize })
  }

  let done = 0
  const checked = await mapConcurrently(listed.images, open, async (image): Promise<Entry | undefined> => {
    try {
      if (options.labelled && classOf(image) === '') throw new ImageError(image.file, 'missing', 'lies in no class’s folder')
      if (options.captioned && image.caption === '') throw new ImageError(image.file, 'missing', 'has no caption')
      const { width, height } = await readHeader(join(dir, image.file), limits)
      const entry = { ...image, width, height }
      if (verify === 'decode') for (const file of filesOf(entry)) await read(entry, file)
      return entry
    } catch (error) {
      broken.push({ file: image.file, reason: reasonOf(error, dir, image.file) })
      return undefined
    } finally {
      options.onProgress?.(++done, listed.images.length)
    }
  })
  const entries = checked.filter((entry) => entry !== undefined)
  broken.sort((a, b) => (a.file < b.file ? -1 : 1))
  if (broken.length > 0 && options.broken !== 'skip')
    throw new DataError(
      dir,
      `${broken.length} of ${listed.images.length} pictures or lines cannot be used. Fix or remove them, or read the folder with broken: 'skip'`,
      broken,
    )
  if (entries.length === 0) throw new DataError(dir, 'no PNG, JPEG or WebP pictures that can be read', broken)

  for (const note of listed.notes ?? []) warn(`${dir}: ${note}`)
  const names = new Set(entries.map(classOf).filter((name) => name !== ''))
  const classes = [...names].sort((a, b) => (a < b ? -1 : 1))
  const outside = entries.filter((entry) => classOf(entry) === '')
  if (classes.length > 0 && outside.length > 0)
    warn(
      `${dir}: ${outside.length} pictures lie in no class's folder and count as ${classes[0]}: ${shortList(outside.map(({ file }) => file))}`,
    )
  const sided = entries.filter(({ caption }) => hasSides(caption)).length
  if (flip && sided > 0) warn(`${dir}: ${sided} pictures are never mirrored, as their captions say left or right`)
  const root = new Generator(seed)
  const orderOf = epochOrder(seed, entries.length)

  const example = async (position: number, file: string, out: Float32Array): Promise<void> => {
    const entry = entryAt(position)
    const pixels = await read(entry, file)
    const [H, W] = pixels.shape as [number, number, number]
    const [x, y, mirror] = root.fork(position).rand([3]).data as unknown as [number, number, number]
    const place = (spare: number, u: number) => (crop === 'random' ? Math.floor(u * (spare + 1)) : Math.round(spare / 2))
    const square = cut(pixels, place(W - size, x), place(H - size, y), size, flip && mirror < 0.5 && !hasSides(entry.caption))
    out.set(toTensor(channels === 1 ? luminance(square) : square).data)
  }
  const entryAt = (position: number): Entry => {
    if (!Number.isSafeInteger(position) || position < 0)
      throw new ArgumentError(`imageFolder: expected a position of 0 or more, got ${position}`)
    return entries[orderOf(position)] as Entry
  }

  return {
    length: entries.length,
    shape: [channels, size, size],
    classes,
    files: entries.map(({ file }) => file),
    skipped: broken,
    fingerprint: fingerprintOf(entries, seed),
    async batch(positions): Promise<Batch> {
      const taken = positions.map(entryAt)
      const each = channels * size * size
      const zeros = () => NdArray.zeros([positions.length, channels, size, size])
      const sets = [zeros(), ...(conditionColumn === undefined ? [] : [zeros()])] as [NdArray<'f32'>, NdArray<'f32'>?]
      const failed: BrokenFile[] = []
      await mapConcurrently(positions, open, async (position, i) => {
        for (const [k, file] of filesOf(taken[i] as Entry).entries())
          try {
            await example(position, file, (sets[k] as NdArray<'f32'>).data.subarray(i * each, (i + 1) * each))
          } catch (error) {
            failed.push({ file, reason: reasonOf(error, dir, file) })
          }
      })
      if (failed.length > 0) throw new DataError(dir, 'pictures that could be read at the start no longer can', failed)
      const [images, conditions] = sets
      return {
        images,
        ...(conditions && { conditions }),
        captions: taken.map(({ caption }) => caption),
        labels: labelsOf(taken.map((entry) => Math.max(0, classes.indexOf(classOf(entry))))),
      }
    },
  }
}

/** A picture and its control image. */
const filesOf = ({ file, condition }: ListedImage): string[] => (condition === undefined ? [file] : [file, condition])

/** The folder of the first level that a picture lies in; '' for none. */
const classOf = ({ file }: ListedImage) => (file.includes('/') ? (file.split('/')[0] as string) : '')

/** Whether a caption is no longer true of the mirrored picture. */
const hasSides = (caption: string) => /\b(left|right)(most|wards?|-?hand(ed)?)?\b|\b(anti-?|counter-?)?clockwise\b/i.test(caption)

function fingerprintOf(entries: readonly Entry[], seed: number): string {
  const hash = createHash('sha256')
  for (const { file, caption, condition, width, height } of entries)
    hash.update(JSON.stringify([file, caption, width, height, ...(condition === undefined ? [] : [condition])]))
  return hash.update(String(seed)).digest('hex').slice(0, 16)
}

/** RGB to grey as Pillow's mode L: ITU-R 601-2 luma, in 16 bits. */
function luminance(pixels: Pixels): Pixels {
  const [H, W] = pixels.shape as [number, number, number]
  const { data } = pixels
  const at = (i: number) => data[i] as number
  const grey = (i: number) => (at(i) * 19595 + at(i + 1) * 38470 + at(i + 2) * 7471 + 0x8000) >> 16
  return new NdArray(
    Uint8Array.from({ length: H * W }, (_, i) => grey(3 * i)),
    [H, W, 1],
    'u8',
  )
}

/** A square of pixels, mirrored left to right where asked for. */
function cut(pixels: Pixels, left: number, top: number, size: number, mirrored: boolean): Pixels {
  const width = pixels.shape[1] as number
  const out = new Uint8Array(size * size * 3)
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++) {
      const from = ((top + y) * width + left + (mirrored ? size - 1 - x : x)) * 3
      for (let c = 0; c < 3; c++) out[(y * size + x) * 3 + c] = pixels.data[from + c] as number
    }
  return new NdArray(out, [size, size, 3], 'u8')
}

/** What an error says, without the name that stands before it in the list; errors that are no picture's pass on. */
function reasonOf(error: unknown, dir: string, file: string): string {
  if (!(error instanceof ImageError)) throw error
  return [`${join(dir, file)}: `, `${file}: `].reduce(
    (text, name) => (text.startsWith(name) ? text.slice(name.length) : text),
    error.message,
  )
}
