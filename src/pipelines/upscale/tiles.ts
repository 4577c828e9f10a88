import { NdArray } from '../../runtime/ndarray.ts'

/** How a network goes over pictures that are too large for it at once. */
export type Tiling =
  /** Tiles side by side, each with some pixels of context around it that are cut off again (Real-ESRGAN). */
  | { readonly type: 'context'; readonly context: number }
  /** Tiles that overlap, and are averaged where they do (SwinIR). */
  | { readonly type: 'average'; readonly overlap: number }

/** Enlarges one picture [C, H, W] → [C, scale·H, scale·W]. */
export type Enlarge = (picture: NdArray<'f32'>) => Promise<NdArray<'f32'>>

export interface TileOptions {
  readonly scale: number
  /** Pixels a side of a tile, its context not counted. */
  readonly tile: number
  readonly tiling: Tiling
}

/** Tiles done, of so many. */
export interface TileProgress {
  readonly done: number
  readonly total: number
}

/** A stretch of pixels along a side. */
interface Stretch {
  readonly start: number
  readonly size: number
}

/** What one tile sees, and what of it goes into the result. */
interface Tile {
  readonly seen: readonly [rows: Stretch, columns: Stretch]
  readonly kept: readonly [rows: Stretch, columns: Stretch]
}

/**
 * A picture [C, H, W] enlarged tile by tile: memory does not grow with its size, but for the result. Where tiles overlap in what
 * they keep, their mean stands.
 */
export async function* inTiles(
  picture: NdArray<'f32'>,
  enlarge: Enlarge,
  { scale, tile, tiling }: TileOptions,
): AsyncGenerator<TileProgress, NdArray<'f32'>, void> {
  const [channels, height, width] = picture.shape as [number, number, number]
  const sides = (side: number) =>
    tiling.type === 'context' ? besides(side, tile, tiling.context) : overlapping(side, tile, tiling.overlap)
  const tiles = pairs(sides(height), sides(width))
  const out = NdArray.zeros([channels, height * scale, width * scale])
  const count = tiling.type === 'average' ? new Uint16Array(height * width * scale ** 2) : undefined
  for (const [i, { seen, kept }] of tiles.entries()) {
    const made = await enlarge(cut(picture, ...seen))
    const own = kept.map(({ start, size }, axis) => ({
      start: (start - (seen[axis] as Stretch).start) * scale,
      size: size * scale,
    })) as [Stretch, Stretch]
    add(out, cut(made, ...own), kept[0].start * scale, kept[1].start * scale, count)
    yield { done: i + 1, total: tiles.length }
  }
  if (count) for (let i = 0; i < out.size; i++) out.data[i] = (out.data[i] as number) / (count[i % count.length] as number)
  return out
}

/** Tiles along a side that lie side by side, each seen with its surroundings. */
function besides(side: number, tile: number, context: number): { seen: Stretch; kept: Stretch }[] {
  return Array.from({ length: Math.ceil(side / tile) }, (_, i) => {
    const kept = { start: i * tile, size: Math.min(tile, side - i * tile) }
    const start = Math.max(0, kept.start - context)
    return { kept, seen: { start, size: Math.min(side, kept.start + kept.size + context) - start } }
  })
}

/** Tiles along a side that overlap, the last flush with its end. */
function overlapping(side: number, tile: number, overlap: number): { seen: Stretch; kept: Stretch }[] {
  const size = Math.min(tile, side)
  const step = Math.max(1, size - overlap)
  const before = Array.from({ length: Math.ceil((side - size) / step) }, (_, i) => i * step)
  return [...before, side - size].map((start) => ({ seen: { start, size }, kept: { start, size } }))
}

const pairs = (rows: readonly { seen: Stretch; kept: Stretch }[], columns: typeof rows): Tile[] =>
  rows.flatMap((row) => columns.map((column): Tile => ({ seen: [row.seen, column.seen], kept: [row.kept, column.kept] })))

/** A part of a picture [C, H, W], copied once: results can take gigabytes. The whole is the picture itself. */
export function cut(picture: NdArray<'f32'>, rows: Stretch, columns: Stretch): NdArray<'f32'> {
  const [channels, height, width] = picture.shape as [number, number, number]
  if (rows.size === height && columns.size === width) return picture
  const out = NdArray.zeros([channels, rows.size, columns.size])
  for (let c = 0; c < channels; c++)
    for (let y = 0; y < rows.size; y++) {
      const from = (c * height + rows.start + y) * width + columns.start
      out.data.set(picture.data.subarray(from, from + columns.size), (c * rows.size + y) * columns.size)
    }
  return out
}

/** Adds a part [C, h, w] to a picture [C, H, W], and counts how many lie at each pixel. */
function add(picture: NdArray<'f32'>, part: NdArray<'f32'>, top: number, left: number, count: Uint16Array | undefined): void {
  const [channels, height, width] = picture.shape as [number, number, number]
  const [, rows, columns] = part.shape as [number, number, number]
  for (let c = 0; c < channels; c++)
    for (let y = 0; y < rows; y++) {
      const to = (c * height + top + y) * width + left
      const from = (c * rows + y) * columns
      for (let x = 0; x < columns; x++) picture.data[to + x] = (picture.data[to + x] as number) + (part.data[from + x] as number)
      if (count && c === 0) for (let x = 0; x < columns; x++) count[to + x] = (count[to + x] as number) + 1
    }
}
