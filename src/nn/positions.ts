import { ArgumentError } from '../core/errors.ts'
import { concat } from '../core/functions.ts'
import { dims, range } from '../core/shape.ts'
import { constant, type Tensor } from '../core/tensor.ts'
import { NdArray } from '../runtime/ndarray.ts'

/** Sines, then cosines, of positions at falling frequencies, in float64: [N] → N rows of `width`. */
function sinCos(positions: readonly number[], width: number): number[][] {
  if (width % 2 !== 0) throw new ArgumentError(`sine and cosine positions need an even width, got ${width}`)
  const half = width / 2
  const frequencies = range(half).map((i) => 1 / 10000 ** (i / half))
  return positions.map((position) => [
    ...frequencies.map((f) => Math.sin(position * f)),
    ...frequencies.map((f) => Math.cos(position * f)),
  ])
}

/** Positions, or 0, 1, … of so many, as sines and cosines (Vaswani et al. 2017): [count, width]. */
export const sinCosPositions = (width: number, positions: number | readonly number[]): NdArray<'f32'> =>
  NdArray.from(sinCos(typeof positions === 'number' ? range(positions) : positions, width))

export interface GridPositionOptions {
  /** Patches along a side in training: each axis is stretched to that length by itself. Without it positions are plain indices. */
  readonly base?: number
  /** Divides all coordinates. */
  readonly interpolationScale?: number
}

/**
 * Positions of a grid of patches, as DiT, PixArt, Latte and SD3 have them: [rows · columns, width]. The first half of the
 * channels is of the column, the second of the row, in each all sines before all cosines; float64, rounded to float32.
 */
export function gridPositions(
  width: number,
  [rows, columns]: readonly [number, number],
  options: GridPositionOptions = {},
): NdArray<'f32'> {
  const { base, interpolationScale = 1 } = options
  if (!Number.isInteger(rows) || !Number.isInteger(columns))
    throw new ArgumentError(`positions of ${rows}×${columns} patches: a picture must divide into whole patches`)
  const along = (n: number) => range(n).map((i) => i / (base === undefined ? 1 : n / base) / interpolationScale)
  const [x, y] = [sinCos(along(columns), width / 2), sinCos(along(rows), width / 2)]
  return NdArray.from(
    range(rows * columns).map((i) => [...(x[i % columns] as number[]), ...(y[Math.floor(i / columns)] as number[])]),
  )
}

/** Rows of a table of positions [side², D] in the middle of its square: [rows · columns, D], as SD3 crops the table of its checkpoint. */
export function centreCrop(table: Tensor, side: number, [rows, columns]: readonly [number, number]): Tensor {
  const { D } = dims(table, 'N D', { N: side ** 2 })
  if (rows > side || columns > side)
    throw new ArgumentError(`positions of ${rows}×${columns} patches: the table has ${side}×${side}; make a smaller picture`)
  const [top, left] = [Math.floor((side - rows) / 2), Math.floor((side - columns) / 2)]
  const grid = table
    .reshape([side, side, D])
    .slice(0, top, top + rows)
    .slice(1, left, left + columns)
  return grid.reshape([rows * columns, D])
}

/** Cosines and sines of the angles by which pairs of channels turn: [N, d/2] each. */
export interface Rotation {
  readonly cos: NdArray<'f32'>
  readonly sin: NdArray<'f32'>
}

/**
 * Rotary positions over several axes (Su et al. 2021, eq. 34; FLUX): `ids` has a coordinate per axis for each token, `dims`
 * the channels of a head that each axis turns, even and together its width. Angles in float64, rounded at the end.
 */
export function rotation(ids: readonly (readonly number[])[], axes: readonly number[], theta = 10000): Rotation {
  if (axes.some((d) => d % 2 !== 0 || d <= 0))
    throw new ArgumentError(`rotary positions: axes of [${axes.join(', ')}] channels must be even`)
  const frequencies = axes.map((d) => range(d / 2).map((i) => 1 / theta ** ((2 * i) / d)))
  const angles = ids.map((id) => {
    if (id.length !== axes.length)
      throw new ArgumentError(`rotary positions: a token has ${id.length} coordinates, expected ${axes.length}`)
    return id.flatMap((position, axis) => (frequencies[axis] as number[]).map((f) => position * f))
  })
  return { cos: NdArray.from(angles.map((row) => row.map(Math.cos))), sin: NdArray.from(angles.map((row) => row.map(Math.sin))) }
}

/** Coordinates (0, row, column) of a grid of patches, as FLUX numbers a picture's tokens. */
export const gridIds = (rows: number, columns: number): number[][] =>
  range(rows * columns).map((i) => [0, Math.floor(i / columns), i % columns])

/** Neighbouring channels of each head as pairs, turned: x [B, N, heads · d] → the same shape. */
export function rotate(x: Tensor, { cos, sin }: Rotation, heads: number): Tensor {
  const { B, N, D } = dims(x, 'B N D')
  const half = D / heads / 2
  const [c, s] = [cos, sin].map(({ data, shape }) => {
    if (shape[0] !== N || shape[1] !== half)
      throw new ArgumentError(`rotary positions [${shape.join(', ')}] do not fit ${N} tokens with heads of ${D / heads} channels`)
    return constant(data, [N, 1, half, 1]).cast(x.dtype)
  }) as [Tensor, Tensor]
  const [a, b] = x.reshape([B, N, heads, half, 2]).split(2, 4) as [Tensor, Tensor]
  return concat([a.mul(c).sub(b.mul(s)), b.mul(c).add(a.mul(s))], 4).reshape([B, N, D])
}

/** Rotary positions of a text's tokens over all of a head's channels (Su et al. 2021): cosines and sines [N, headDim/2]. */
export const tokenRotation = (positions: readonly number[], headDim: number, theta = 10000): Rotation =>
  rotation(
    positions.map((position) => [position]),
    [headDim],
    theta,
  )

/**
 * Turns the first half of each head's channels against the second, as language models pair them: x [B, N, heads · d], cosines and
 * sines [N, d/2] → the same shape.
 */
export function rotateHalves(x: Tensor, cos: Tensor, sin: Tensor, heads: number): Tensor {
  const { B, N, D } = dims(x, 'B N D')
  const half = D / heads / 2
  const [c, s] = [cos, sin].map((angle) => {
    dims(angle, 'N d', { N, d: half })
    return angle.reshape([1, N, 1, half]).cast(x.dtype)
  }) as [Tensor, Tensor]
  const [a, b] = x.reshape([B, N, heads, 2 * half]).split(2, 3) as [Tensor, Tensor]
  return concat([a.mul(c).sub(b.mul(s)), b.mul(c).add(a.mul(s))], 3).reshape([B, N, D])
}
