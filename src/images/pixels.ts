import { ArgumentError, ShapeError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { ImageError } from './errors.ts'

/** Levels 0–255 as files hold them: [H, W, C], C = 1 grey, 3 RGB, 4 RGB and alpha. */
export type Pixels = NdArray<'u8'>
/** What networks see: float32 [C, H, W] in [−1, 1]. */
export type ImageTensor = NdArray<'f32'>
/** Either form; the dtype tells them apart. */
export type Picture = Pixels | ImageTensor
/** Red, green and blue, 0–255. */
export type Colour = readonly [number, number, number]

export const white: Colour = [255, 255, 255]

/** Level → value in [−1, 1], in float32 steps: level / 255, then 2x − 1. */
const fromLevel = Float32Array.from({ length: 256 }, (_, level) => 2 * Math.fround(level / 255) - 1)

/** Height, width and channels of pixels. */
export function sizeOf(pixels: Pixels): { H: number; W: number; C: number } {
  const [H, W, C] = pixels.shape
  if (pixels.shape.length !== 3 || !H || !W || (C !== 1 && C !== 3 && C !== 4))
    throw new ShapeError(`pixels: expected [H, W, C] with C of 1, 3 or 4, got [${pixels.shape.join(', ')}]`)
  return { H, W, C }
}

/** Pixels [H, W, C] → float32 [C, H, W] in [−1, 1]. */
export function toTensor(pixels: Pixels): ImageTensor {
  const { H, W, C } = sizeOf(pixels)
  const out = new Float32Array(C * H * W)
  for (let c = 0; c < C; c++)
    for (let i = 0; i < H * W; i++) out[c * H * W + i] = fromLevel[pixels.data[i * C + c] as number] as number
  return new NdArray(out, [C, H, W], 'f32')
}

/**
 * Float32 [C, H, W] in [−1, 1] → pixels [H, W, C], rounded exactly as diffusers does through NumPy:
 * (x / 2 + 0.5) clamped to [0, 1], times 255, half to even.
 *
 * @throws ImageError where a value is not finite: a run that went wrong must not end as a black picture
 */
export function toPixels(image: NdArray): Pixels {
  const [C, H, W] = image.shape
  if (image.dtype !== 'f32' || image.shape.length !== 3 || !H || !W || (C !== 1 && C !== 3 && C !== 4))
    throw new ShapeError(
      `toPixels: expected f32 [C, H, W] with C of 1, 3 or 4, got ${image.dtype} [${image.shape.join(', ')}]; ` +
        'a batch [B, C, H, W] goes through imagesOf first',
    )
  const { data } = image as ImageTensor
  const out = new Uint8Array(C * H * W)
  const plane = H * W
  for (let c = 0; c < C; c++)
    for (let i = 0; i < plane; i++) {
      const x = data[c * plane + i] as number
      if (!Number.isFinite(x))
        throw new ImageError(
          'toPixels',
          'values',
          `${x} at channel ${c}, row ${Math.floor(i / W)}, column ${i % W}: not a picture`,
        )
      const unit = Math.min(1, Math.max(0, Math.fround(Math.fround(x / 2) + 0.5)))
      out[i * C + c] = roundHalfEven(Math.fround(unit * 255))
    }
  return new NdArray(out, [H, W, C], 'u8')
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x)
  const rest = x - floor
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor
}

/** A picture as pixels, whichever form it has. */
export function pixelsOf(picture: Picture): Pixels {
  if (picture.dtype === 'f32') return toPixels(picture)
  sizeOf(picture as Pixels)
  return picture as Pixels
}

/** The pictures of a batch [B, C, H, W], as views [C, H, W]. */
export function imagesOf(batch: NdArray<'f32'>): ImageTensor[] {
  const [B, C, H, W] = batch.shape
  if (batch.shape.length !== 4 || B === undefined || !C || !H || !W)
    throw new ShapeError(`imagesOf: expected [B, C, H, W], got [${batch.shape.join(', ')}]`)
  const size = C * H * W
  return Array.from({ length: B }, (_, b) => new NdArray(batch.data.subarray(b * size, (b + 1) * size), [C, H, W], 'f32'))
}

/** Pixels with 3 channels: grey repeated, alpha laid over a colour. */
export function toRgb(pixels: Pixels, background: Colour = white): Pixels {
  const { H, W, C } = sizeOf(pixels)
  if (C === 3) return pixels
  const out = new Uint8Array(H * W * 3)
  for (let i = 0; i < H * W; i++)
    for (let c = 0; c < 3; c++) {
      const level = pixels.data[C === 1 ? i : i * 4 + c] as number
      const alpha = C === 1 ? 255 : (pixels.data[i * 4 + 3] as number)
      out[i * 3 + c] = Math.round((level * alpha + (background[c] as number) * (255 - alpha)) / 255)
    }
  return new NdArray(out, [H, W, 3], 'u8')
}

/** How pictures are laid out in a grid: a near-square unless `columns` says otherwise, `gap` pixels apart and around. */
export interface GridOptions {
  readonly columns?: number
  readonly gap?: number
  readonly background?: Colour
}

/**
 * Pictures of one size in rows, left to right and top to bottom.
 *
 * @param images a batch [B, C, H, W] in [−1, 1], or a list of pictures
 * @returns pixels [H, W, 3]
 */
export function imageGrid(images: NdArray<'f32'> | readonly Picture[], options: GridOptions = {}): Pixels {
  const list = images instanceof NdArray ? imagesOf(images) : images
  const { gap = 2, background = white, columns: most = Math.ceil(Math.sqrt(list.length)) } = options
  const tiles = list.map((image) => toRgb(pixelsOf(image), background))
  const first = tiles[0]
  if (!first) throw new ArgumentError('imageGrid: no pictures')
  if (!Number.isInteger(most) || most < 1) throw new ArgumentError(`imageGrid: expected 1 or more columns, got ${most}`)
  if (!Number.isInteger(gap) || gap < 0) throw new ArgumentError(`imageGrid: expected a gap of 0 or more pixels, got ${gap}`)
  const { H, W } = sizeOf(first)
  const columns = Math.min(most, tiles.length)
  const rows = Math.ceil(tiles.length / columns)
  const width = columns * (W + gap) + gap
  const height = rows * (H + gap) + gap
  const out = new Uint8Array(height * width * 3)
  for (let i = 0; i < out.length; i++) out[i] = background[i % 3] as number
  for (const [i, tile] of tiles.entries()) {
    if (tile.shape[0] !== H || tile.shape[1] !== W)
      throw new ShapeError(`imageGrid: picture ${i} is ${tile.shape[1]} × ${tile.shape[0]}, picture 0 is ${W} × ${H}`)
    const top = gap + Math.floor(i / columns) * (H + gap)
    const left = gap + (i % columns) * (W + gap)
    for (let y = 0; y < H; y++) out.set(tile.data.subarray(y * W * 3, (y + 1) * W * 3), ((top + y) * width + left) * 3)
  }
  return new NdArray(out, [height, width, 3], 'u8')
}
