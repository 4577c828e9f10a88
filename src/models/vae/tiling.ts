import { ArgumentError } from '../../core/errors.ts'
import { range } from '../../core/shape.ts'
import { NdArray } from '../../runtime/ndarray.ts'

/** Codes pictures or latents [B, C, H, W]; a program for every shape that it is given. */
export type Coder = (x: NdArray<'f32'>) => Promise<NdArray<'f32'>>

export interface Tiling {
  /** Side of a tile as the coder takes it, and as it gives it. */
  readonly from: number
  readonly to: number
  /** The share of a tile that the next one covers too. */
  readonly overlap: number
}

interface TiledFields {
  readonly sample_size: number | readonly number[]
  readonly block_out_channels: readonly number[]
}

/** Tiles as diffusers cuts them: of the size that the network was trained on, a quarter shared. */
export function tilingOf(config: TiledFields): { readonly encode: Tiling; readonly decode: Tiling } {
  const { sample_size: size, block_out_channels: widths } = config
  const pixels = typeof size === 'number' ? size : (size[0] as number)
  const latents = Math.floor(pixels / 2 ** (widths.length - 1))
  const overlap = 0.25
  return { encode: { from: pixels, to: latents, overlap }, decode: { from: latents, to: pixels, overlap } }
}

/**
 * Codes tile by tile, so that memory follows the tile and not the picture: the overlaps are blended linearly, downwards and then
 * to the right. The result differs from that of the whole picture, as norms and attention see a tile only. What fits into one
 * tile is coded whole.
 */
export async function tiled(x: NdArray<'f32'>, code: Coder, { from, to, overlap }: Tiling): Promise<NdArray<'f32'>> {
  const [height, width] = x.shape.slice(2) as [number, number]
  if (height <= from && width <= from) return code(x)
  const step = Math.floor(from * (1 - overlap))
  const shared = Math.floor(to * overlap)
  const kept = to - shared
  if (step < 1 || kept * from !== step * to) {
    throw new ArgumentError(
      `tiled: tiles of ${from} move on by ${step}, and of the ${to} that each gives ${kept} are kept: choose a size that splits`,
    )
  }
  const starts = (length: number) => range(Math.ceil(length / step)).map((i) => i * step)
  const rows: NdArray<'f32'>[] = []
  let above: NdArray<'f32'>[] = []
  for (const top of starts(height)) {
    const row: NdArray<'f32'>[] = []
    for (const [j, left] of starts(width).entries()) {
      const cut = x.slice(2, top, Math.min(height, top + from)).slice(3, left, Math.min(width, left + from))
      const below = blend(above[j], await code(cut), shared, 2)
      row.push(blend(row[j - 1], below, shared, 3))
    }
    rows.push(
      NdArray.concat(
        row.map((tile) => crop(tile, kept)),
        3,
      ),
    )
    above = row
  }
  return NdArray.concat(rows, 2)
}

/** Codes the pictures of a batch one after another. */
export async function sliced(x: NdArray<'f32'>, code: Coder): Promise<NdArray<'f32'>> {
  const coded: NdArray<'f32'>[] = []
  for (const i of range(x.shape[0] as number)) coded.push(await code(x.slice(0, i, i + 1)))
  return NdArray.concat(coded, 0)
}

/** The start of `tile` along an axis, faded in over the end of the tile before it. */
function blend(before: NdArray<'f32'> | undefined, tile: NdArray<'f32'>, shared: number, axis: 2 | 3): NdArray<'f32'> {
  if (!before) return tile
  const [length, size] = [before.shape[axis] as number, tile.shape[axis] as number]
  const extent = Math.min(shared, length, size)
  if (extent === 0) return tile
  const weight = NdArray.from(
    range(extent).map((i) => i / extent),
    axis === 2 ? [1, 1, extent, 1] : [1, 1, 1, extent],
  )
  const faded = before.slice(axis, length - extent).mul(weight.neg().add(1))
  const mixed = faded.add(tile.slice(axis, 0, extent).mul(weight))
  return extent === size ? mixed : NdArray.concat([mixed, tile.slice(axis, extent)], axis)
}

const crop = (tile: NdArray<'f32'>, limit: number): NdArray<'f32'> =>
  [2, 3].reduce((x, axis) => x.slice(axis, 0, Math.min(limit, x.shape[axis] as number)), tile)
