import { readFile, stat } from 'node:fs/promises'
import { inWords } from '../core/system-error.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { ImageError } from './errors.ts'
import { type Colour, type ImageTensor, type Pixels, toTensor, white } from './pixels.ts'
import { sharp } from './sharp.ts'

/** The formats that are read. Everything else is refused by its first bytes, before libvips sees it. */
export type ImageFormat = 'png' | 'jpeg' | 'webp' | 'gif' | 'tiff'

const MiB = 2 ** 20

export interface DecodeOptions {
  /** 3 (the default): RGB, alpha laid over `background`. 4: RGB and alpha. 1: luminance, alpha laid over `background`. */
  readonly channels?: 1 | 3 | 4
  readonly background?: Colour
  /** 16: a file of 16 bits keeps them (`decodeImage` only), for pictures that are data, such as depth; 8 by default. */
  readonly depth?: 8 | 16
  /** Resampled to this size (Lanczos) while it is decoded. */
  readonly resize?: { readonly width: number; readonly height: number }
  /** Most bytes of the file; 50 MiB by default. */
  readonly maxBytes?: number
  /** Most pixels; 64 Mi (8192 × 8192) by default. */
  readonly maxPixels?: number
  /** Fewest pixels a side; 1 by default. */
  readonly minSide?: number
  /** The media type that came with the bytes, if one did; bytes of another type are refused. */
  readonly mime?: string
  /** What errors call bytes that came without a path. */
  readonly name?: string
}

/** What a picture's header says. Width and height are those after the EXIF orientation is applied. */
export interface ImageHeader {
  readonly format: ImageFormat
  readonly width: number
  readonly height: number
  readonly hasAlpha: boolean
  /** Whether its colours are shades of grey by its format, not by their values. */
  readonly grey: boolean
  /** Bits of a level. */
  readonly depth: 8 | 16
}

/** The format that the first bytes declare, or undefined. */
export function formatOf(bytes: Uint8Array): ImageFormat | undefined {
  const starts = (text: string, at = 0) => [...text].every((char, i) => bytes[at + i] === char.charCodeAt(0))
  if (starts('\x89PNG\r\n\x1a\n')) return 'png'
  if (starts('\xff\xd8\xff')) return 'jpeg'
  if (starts('RIFF') && starts('WEBPVP8', 8)) return 'webp'
  if (starts('GIF87a') || starts('GIF89a')) return 'gif'
  if (starts('II*\0') || starts('MM\0*')) return 'tiff'
  return undefined
}

/** Size and format without the pixels, held to the same limits as `decodePixels`. @throws ImageError */
export async function readHeader(source: string | Uint8Array, options: DecodeOptions = {}): Promise<ImageHeader> {
  return (await open(source, options)).header
}

/**
 * Reads a PNG, JPEG, WebP, or a still GIF or TIFF: EXIF orientation applied, colours in sRGB, 8 bits.
 *
 * @param source a path, or the file's bytes
 * @returns pixels [H, W, channels]
 * @throws ImageError for anything else, with its `fault`; safe for files from strangers
 */
export async function decodePixels(source: string | Uint8Array, options: DecodeOptions = {}): Promise<Pixels> {
  return pixelsOf(await open(source, options), options)
}

async function pixelsOf({ place, image, header }: Opened, options: DecodeOptions): Promise<Pixels> {
  const { channels = 3, background = white, resize } = options
  const [r, g, b] = background
  if (header.hasAlpha && channels !== 4) image.flatten({ background: { r, g, b } })
  if (resize) image.resize(resize.width, resize.height, { fit: 'fill', kernel: 'lanczos3' })
  if (channels === 1) image.toColourspace('b-w')
  else image.toColourspace('srgb')
  if (channels === 4) image.ensureAlpha()
  try {
    const { data, info } = await image.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true })
    return new NdArray(new Uint8Array(data.buffer, data.byteOffset, data.length), [info.height, info.width, channels], 'u8')
  } catch (error) {
    throw damaged(place, error)
  }
}

/** `decodePixels` as networks want it: float32 [C, H, W] in [−1, 1]. @throws ImageError */
export async function decodeImage(source: string | Uint8Array, options: DecodeOptions = {}): Promise<ImageTensor> {
  const opened = await open(source, options)
  return options.depth === 16 && opened.deep ? deepImage(opened, options) : toTensor(await pixelsOf(opened, options))
}

/** A picture of 16 bits with all of them. */
async function deepImage({ place, image, header }: Opened, options: DecodeOptions): Promise<ImageTensor> {
  const { channels = 3, background = white, resize } = options
  const [r, g, b] = background
  if (header.hasAlpha && channels !== 4) image.flatten({ background: { r, g, b } })
  if (resize) image.resize(resize.width, resize.height, { fit: 'fill', kernel: 'lanczos3' })
  image.toColourspace(channels === 1 ? 'grey16' : 'rgb16')
  if (channels === 4) image.ensureAlpha()
  try {
    const { data, info } = await image.raw({ depth: 'ushort' }).toBuffer({ resolveWithObject: true })
    const levels = new Uint16Array(new Uint8Array(data).buffer)
    const size = info.width * info.height
    const out = new Float32Array(size * channels)
    for (let c = 0; c < channels; c++)
      for (let i = 0; i < size; i++) out[c * size + i] = ((levels[i * channels + c] as number) / 65535) * 2 - 1
    return new NdArray(out, [channels, info.height, info.width], 'f32')
  } catch (error) {
    throw damaged(place, error)
  }
}

/**
 * For a process that reads pictures from strangers: libvips forgets every loader but PNG, JPEG and WebP (GIF and TIFF too), so that even a
 * file that deceives the check of its first bytes meets no other. It holds for the whole process and for every user of
 * sharp in it; charts and stickers, which are drawn as SVG, cannot be made there any more.
 */
export function blockOtherLoaders(): void {
  sharp().block({ operation: ['VipsForeignLoad'] })
  sharp().unblock({ operation: ['VipsForeignLoadPngBuffer', 'VipsForeignLoadJpegBuffer', 'VipsForeignLoadWebpBuffer'] })
}

type Opened = Awaited<ReturnType<typeof open>>

async function open(source: string | Uint8Array, options: DecodeOptions) {
  const { maxBytes = 50 * MiB, maxPixels = 64 * MiB, minSide = 1, mime } = options
  const place = typeof source === 'string' ? source : (options.name ?? `image of ${source.length} bytes`)
  const bytes = typeof source === 'string' ? await read(source, maxBytes) : source
  if (bytes.length > maxBytes) throw tooLong(place, bytes.length, maxBytes)
  const format = formatOf(bytes)
  if (!format) throw new ImageError(place, 'format', `${describe(bytes)}; expected a PNG, JPEG or WebP`)
  if (
    mime !== undefined &&
    mime.toLowerCase() !== `image/${format}` &&
    !(format === 'jpeg' && mime.toLowerCase() === 'image/jpg')
  )
    throw new ImageError(place, 'mime', `declared as ${mime} but the bytes are ${format}; declare image/${format}`)
  const image = sharp()(bytes, { failOn: 'error', limitInputPixels: maxPixels, pages: 1 }).autoOrient()
  const found = await image.metadata().catch((error: unknown) => {
    if (format === 'gif' || format === 'tiff')
      throw new ImageError(place, 'format', `a ${format.toUpperCase()} that cannot be read; save it as a PNG`, { cause: error })
    throw damaged(place, error)
  })
  if (found.format !== format) throw new ImageError(place, 'format', `starts as ${format} and reads as ${found.format}; refused`)
  const { width, height } = found.autoOrient
  if (width * height > maxPixels)
    throw new ImageError(place, 'size', `${width} × ${height} pixels; at most ${maxPixels} are read. Make it smaller`)
  if (width < minSide || height < minSide)
    throw new ImageError(place, 'size', `${width} × ${height} pixels; at least ${minSide} a side are needed`)
  const frames = format === 'png' ? animationFrames(bytes) : (found.pages ?? 1)
  if (frames > 1) throw new ImageError(place, 'animated', `${frames} frames; save one of them as a still picture`)
  const deep = found.depth === 'ushort'
  const grey = found.space === 'b-w' || found.space === 'grey16'
  return { place, image, header: { format, width, height, hasAlpha: found.hasAlpha, grey, depth: deep ? 16 : 8 } as const, deep }
}

async function read(path: string, maxBytes: number): Promise<Uint8Array> {
  try {
    const { size } = await stat(path)
    if (size > maxBytes) throw tooLong(path, size, maxBytes)
    return await readFile(path)
  } catch (error) {
    if (error instanceof ImageError) throw error
    throw new ImageError(path, 'missing', `cannot be read: ${inWords(error)}`, { cause: error })
  }
}

function tooLong(place: string, length: number, most: number): ImageError {
  const size = (n: number) => (n < MiB ? `${n} bytes` : `${(n / MiB).toFixed(1)} MiB`)
  return new ImageError(place, 'size', `${size(length)}; at most ${size(most)} are read`)
}

function damaged(place: string, error: unknown): ImageError {
  const { message } = error as Error
  const fault = /pixel limit/.test(message) ? 'size' : 'broken'
  const remedy = fault === 'size' ? 'Make it smaller' : 'The file is truncated or damaged: save or download it again'
  return new ImageError(place, fault, `${message.split('\n')[0]}. ${remedy}`, { cause: error })
}

/** What a file that is none of our formats is. */
function describe(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'an empty file'
  const head = Buffer.from(bytes.subarray(0, 256)).toString('latin1')
  if (/^\s*(<\?xml|<svg|<!doctype)/i.test(head)) return 'an SVG or XML document, which is not read'
  const known: readonly (readonly [RegExp, string])[] = [
    [/^BM/, 'a BMP'],
    [/^.{4}ftyp(avif|avis)/s, 'an AVIF'],
    [/^.{4}ftyp(hei|mif)/s, 'a HEIF'],
    [/^%PDF/, 'a PDF'],
  ]
  return known.find(([start]) => start.test(head))?.[1] ?? 'not a picture'
}

/** Frames of an APNG (its acTL chunk stands before the pixels), 1 for a plain PNG. */
function animationFrames(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let at = 8; at + 16 <= bytes.length; at += 12 + view.getUint32(at)) {
    const type = Buffer.from(bytes.subarray(at + 4, at + 8)).toString('latin1')
    if (type === 'acTL') return view.getUint32(at + 8)
    if (type === 'IDAT') return 1
  }
  return 1
}
