import { ArgumentError } from '../../core/errors.ts'
import { range } from '../../core/shape.ts'
import { roundHalfEven } from '../../diffusion/index.ts'
import { gridPositions, type Rotation, rotation, sinCosPositions } from '../../nn/positions.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { CogVideoXConfig } from './config.ts'

type Grid = readonly [rows: number, columns: number]

/** Sines and cosines of time (a quarter of the channels) and of a grid's columns and rows: [frames · rows · columns, width]. */
export function filmPositions(width: number, frames: number, grid: Grid, config: CogVideoXConfig): NdArray<'f32'> {
  const { spatial_interpolation_scale: interpolationScale, temporal_interpolation_scale: slow } = config
  const [temporal, spatial] = [width / 4, (3 * width) / 4]
  const ofPlace = gridPositions(spatial, grid, { interpolationScale })
  const ofTime = sinCosPositions(
    temporal,
    range(frames).map((t) => t / slow),
  )
  const N = grid[0] * grid[1]
  const out = new Float32Array(frames * N * width)
  for (let i = 0; i < frames * N; i++) {
    const t = Math.floor(i / N)
    out.set(ofTime.data.subarray(t * temporal, (t + 1) * temporal), i * width)
    out.set(ofPlace.data.subarray((i % N) * spatial, ((i % N) + 1) * spatial), i * width + temporal)
  }
  return new NdArray(out, [frames * N, width], 'f32')
}

/** The rows and columns of the trained grid that a grid of these proportions covers, as diffusers cuts them: [from, to] each. */
function region([rows, columns]: Grid, [baseRows, baseColumns]: Grid): readonly [Grid, Grid] {
  const taller = rows / columns > baseRows / baseColumns
  const height = taller ? baseRows : roundHalfEven((baseColumns / columns) * rows)
  const width = taller ? roundHalfEven((baseRows / rows) * columns) : baseColumns
  const [top, left] = [roundHalfEven((baseRows - height) / 2), roundHalfEven((baseColumns - width) / 2)]
  return [
    [top, top + height],
    [left, left + width],
  ]
}

/**
 * Rotary positions of time, rows and columns (Yang et al. 2024, section 2.2): 1.0 spreads a film's grid over the trained one, 1.5 counts.
 * For `text` tokens before those of the film, which do not turn.
 */
export function filmRotation(frames: number, grid: Grid, text: number, config: CogVideoXConfig): Rotation {
  const { attention_head_dim: d, patch_size: patch, patch_size_t: pairs } = config
  const base = [Math.floor(config.sample_height / patch), Math.floor(config.sample_width / patch)] as const
  const axes = [Math.floor(d / 4), Math.floor(d / 8) * 3, Math.floor(d / 8) * 3]
  let places: readonly [number[], number[]]
  if (pairs === null) {
    const [rows, columns] = region(grid, base)
    const spread = (n: number, [from, to]: Grid) => {
      const end = (to * (n - 1)) / n
      return range(n).map((i) => (n === 1 ? from : from + (i * (end - from)) / (n - 1)))
    }
    places = [spread(grid[0], rows), spread(grid[1], columns)]
  } else {
    if (grid[0] > base[0] || grid[1] > base[1])
      throw new ArgumentError(`CogVideoX has positions for ${base.join('×')} patches; got ${grid.join('×')}: make a smaller film`)
    places = [range(grid[0]), range(grid[1])]
  }
  const ids = range(frames).flatMap((t) => places[0].flatMap((row) => places[1].map((column) => [t, row, column])))
  const still = range(text).map(() => [0, 0, 0])
  return rotation([...still, ...ids], axes)
}
