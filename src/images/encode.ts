import { writeAll, writeAtomic } from '../checkpoints/atomic.ts'
import { ArgumentError, ShapeError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { withJpegComment, withWebpComment } from './exif.ts'
import { type Picture, type Pixels, pixelsOf, sizeOf, toRgb } from './pixels.ts'
import { withPngText } from './pngtext.ts'
import { sharp } from './sharp.ts'

export interface PngOptions {
  /** Text chunks by keyword, as `{ parameters: 'a red fox, Steps: 20, …' }`. */
  readonly text?: Readonly<Record<string, string>>
  /** zlib's level 0–9; 6 by default. */
  readonly compressionLevel?: number
}

export interface LossyOptions {
  /** 1–100; 90 by default. */
  readonly quality?: number
  /** How the picture was made, in the words of AUTOMATIC1111's web UI, which reads it too. */
  readonly parameters?: string
}

function pipeline(picture: Picture, alpha = true) {
  const given = pixelsOf(picture)
  const pixels = alpha || given.shape[2] !== 4 ? given : toRgb(given)
  const { H, W, C } = sizeOf(pixels)
  return sharp()(pixels.data, { raw: { width: W, height: H, channels: C as 1 | 3 | 4 }, limitInputPixels: false })
}

/** PNG bytes, with text chunks. */
export async function encodePng(picture: Picture, { text = {}, compressionLevel = 6 }: PngOptions = {}): Promise<Uint8Array> {
  return withPngText(await pipeline(picture).png({ compressionLevel }).toBuffer(), text)
}

/** JPEG bytes, with settings; colours at full resolution, alpha laid over white. */
export async function encodeJpeg(picture: Picture, { quality = 90, parameters }: LossyOptions = {}): Promise<Uint8Array> {
  const bytes = await pipeline(picture, false).jpeg({ quality, chromaSubsampling: '4:4:4' }).toBuffer()
  return parameters === undefined ? bytes : withJpegComment(bytes, parameters)
}

/** WebP bytes, with settings. */
export async function encodeWebp(
  picture: Picture,
  { quality = 90, lossless = false, parameters }: LossyOptions & { readonly lossless?: boolean } = {},
): Promise<Uint8Array> {
  const bytes = await pipeline(picture).webp({ quality, lossless }).toBuffer()
  if (parameters === undefined) return bytes
  const { H, W } = sizeOf(pixelsOf(picture))
  return withWebpComment(bytes, parameters, { width: W, height: H })
}

export interface AnimationOptions extends LossyOptions {
  /** Milliseconds a picture, one for all or one each. */
  readonly delay?: number | readonly number[]
  readonly format?: 'webp' | 'gif'
}

/**
 * WebP or GIF bytes of a film: pictures of one size, each shown for its milliseconds, forever again. A GIF has no place for settings.
 */
export async function encodeAnimation(
  frames: readonly Picture[],
  { delay = 50, quality = 80, parameters, format = 'webp' }: AnimationOptions = {},
): Promise<Uint8Array> {
  const all = frames.map((frame) => toRgb(pixelsOf(frame)))
  const [H, W] = all[0]?.shape ?? []
  if (!H || !W) throw new ArgumentError('encodeAnimation: no pictures')
  const odd = all.findIndex(({ shape }) => shape[0] !== H || shape[1] !== W)
  if (odd >= 0)
    throw new ShapeError(`encodeAnimation: picture ${odd} is [${all[odd]?.shape.join(', ')}], picture 0 [${H}, ${W}, 3]`)
  const stacked = sharp()(Buffer.concat(all.map(({ data }) => data)), {
    raw: { width: W, height: H * all.length, channels: 3, pageHeight: H },
    limitInputPixels: false,
  })
  const times = { loop: 0, delay: typeof delay === 'number' ? all.map(() => delay) : [...delay] }
  if (format === 'gif') return stacked.gif(times).toBuffer()
  const bytes = await stacked.webp({ quality, ...times }).toBuffer()
  return parameters === undefined ? bytes : withWebpComment(bytes, parameters, { width: W, height: H })
}

export interface PlaneOptions extends PngOptions {
  /** Bits of a level; 8 by default. */
  readonly depth?: 8 | 16
}

/**
 * PNG bytes of planes [C, H, W] in [0, 1]: grey (C = 1), grey and alpha, RGB, or RGB and alpha; in 16 bits where asked for.
 *
 * @throws ShapeError
 */
export async function encodePlanes(planes: NdArray<'f32'>, options: PlaneOptions = {}): Promise<Uint8Array> {
  const { depth = 8, text = {}, compressionLevel = 6 } = options
  const [channels = 0, height = 0, width = 0] = planes.shape
  if (planes.shape.length !== 3 || channels < 1 || channels > 4 || planes.size === 0)
    throw new ShapeError(`encodePlanes: expected [1 to 4, H, W], got [${planes.shape.join(', ')}]`)
  const top = depth === 16 ? 65535 : 255
  const levels = depth === 16 ? new Uint16Array(planes.size) : new Uint8Array(planes.size)
  const size = height * width
  for (let c = 0; c < channels; c++)
    for (let i = 0; i < size; i++)
      levels[i * channels + c] = Math.round(Math.min(1, Math.max(0, planes.data[c * size + i] as number)) * top)
  const raw = { width, height, channels: channels as 1 | 2 | 3 | 4 }
  const image = sharp()(levels, { raw, limitInputPixels: false })
  const space = channels < 3 ? (depth === 16 ? 'grey16' : 'b-w') : depth === 16 ? 'rgb16' : 'srgb'
  return withPngText(await image.toColourspace(space).png({ compressionLevel }).toBuffer(), text)
}

/** Writes a PNG in one step: whoever looks sees the old file or the new one. @throws SaveError */
export async function savePng(path: string, picture: Picture, options: PngOptions = {}): Promise<void> {
  const bytes = await encodePng(picture, options)
  writeAtomic(path, (fd) => writeAll(fd, bytes))
}

/**
 * Writes a picture in one step, as PNG, JPEG or WebP by its name's ending; `parameters` go into any of them.
 *
 * @throws ArgumentError for another ending, SaveError
 */
export async function savePicture(
  path: string,
  picture: Picture,
  { parameters, text = {}, quality }: PngOptions & LossyOptions = {},
): Promise<void> {
  const ending = /\.(png|jpe?g|webp)$/i.exec(path)?.[1]?.toLowerCase()
  if (ending === undefined) throw new ArgumentError(`${path}: pictures are written as .png, .jpg, .jpeg or .webp`)
  const options = { ...(quality !== undefined && { quality }), ...(parameters !== undefined && { parameters }) }
  const all = { ...text, ...(parameters !== undefined && { parameters }) }
  const bytes =
    ending === 'png'
      ? await encodePng(picture, { text: all })
      : await (ending === 'webp' ? encodeWebp : encodeJpeg)(picture, options)
  writeAtomic(path, (fd) => writeAll(fd, bytes))
}

/** Writes planes as a PNG in one step. @throws SaveError */
export async function savePlanes(path: string, planes: NdArray<'f32'>, options: PlaneOptions = {}): Promise<void> {
  const bytes = await encodePlanes(planes, options)
  writeAtomic(path, (fd) => writeAll(fd, bytes))
}

/** Pixels as JPEG leaves them, with colours at half the resolution: what a camera or a web page does to a picture. */
export async function jpegLevels(pixels: Pixels, quality: number): Promise<Pixels> {
  const { H, W, C } = sizeOf(pixels)
  const bytes = await pipeline(pixels, false).jpeg({ quality, chromaSubsampling: '4:2:0' }).toBuffer()
  const left = await sharp()(bytes)
    .toColourspace(C === 1 ? 'b-w' : 'srgb')
    .raw()
    .toBuffer()
  return new NdArray(new Uint8Array(left.buffer, left.byteOffset, left.length), [H, W, C], 'u8')
}
