import { ShapeError } from '../../core/errors.ts'
import { dims, range, showShape } from '../../core/shape.ts'
import { constant, type Tensor } from '../../core/tensor.ts'
import { type Rotation, rotation } from '../../nn/positions.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { VideoDitConfig } from './config.ts'
import type { VideoConditions, VideoDit } from './network.ts'

/** How many patches a film has along time, height and width. */
export type Geometry = readonly [frames: number, rows: number, columns: number]

/** @throws ShapeError for latents [C, T, H, W] that do not divide into patches */
export function geometryOf(shape: readonly number[], { patch_size_t: pt, patch_size: p }: VideoDitConfig): Geometry {
  const [, T = 0, H = 0, W = 0] = shape
  const grid = [T / pt, H / p, W / p] as const
  if (!grid.every((n) => Number.isInteger(n) && n > 0))
    throw new ShapeError(`latents ${showShape(shape)} do not divide into patches of ${pt}×${p}×${p}`)
  return grid
}

/** By how much a film's tokens turn: cosines and sines [N, headDim/2]. */
export function filmGeometry([frames, rows, columns]: Geometry, { attention_head_dim: d, rope_theta }: VideoDitConfig): Rotation {
  const ids = range(frames).flatMap((t) => range(rows).flatMap((y) => range(columns).map((x) => [t, y, x])))
  return rotation(ids, [d / 4, (3 * d) / 8, (3 * d) / 8], rope_theta)
}

/** A film's latents as patches, a row each: [C, T, H, W] → [N, C · pt · p · p]. */
export function patchesOf(latents: NdArray<'f32'>, config: VideoDitConfig): NdArray<'f32'> {
  const { patch_size_t: pt, patch_size: p } = config
  const [frames, rows, columns] = geometryOf(latents.shape, config)
  const C = latents.shape[0] as number
  const apart = latents.reshape([C, frames, pt, rows, p, columns, p])
  return apart.permute([1, 3, 5, 0, 2, 4, 6]).reshape([frames * rows * columns, C * pt * p * p]) as NdArray<'f32'>
}

/**
 * The network on films of one shape: sample [B, C, T, H, W], timestep f32 [B], given f32 [B, T] (1 a latent frame that is known and keeps
 * timestep 0) → the velocity [B, C, T, H, W].
 */
export function onFilms(network: VideoDit, config: VideoDitConfig) {
  const { patch_size_t: pt, patch_size: p } = config
  return (sample: Tensor, timestep: Tensor, { given, ...conditions }: VideoConditions & { readonly given: Tensor }): Tensor => {
    const { B, C, T, H, W } = dims(sample, 'B C T H W', { C: config.in_channels })
    const [frames, rows, columns] = geometryOf([C, T, H, W], config)
    const N = frames * rows * columns
    const apart = sample.reshape([B, C, frames, pt, rows, p, columns, p]).transpose(0, 2, 4, 6, 1, 3, 5, 7)
    const time = timestep.reshape([B, 1]).mul(given.mul(-1).add(1))
    const first = time.reshape([B, frames, pt]).slice(2, 0, 1)
    const { cos, sin } = filmGeometry([frames, rows, columns], config)
    const angles = [cos, sin].map(({ data, shape }) => constant(data, [1, ...shape])) as [Tensor, Tensor]
    const tokens = network(
      {
        tokens: apart.reshape([B, N, C * pt * p * p]),
        time: first.expand([B, frames, rows * columns]).reshape([B, N]),
        cos: angles[0],
        sin: angles[1],
      },
      conditions,
    )
    const back = tokens.reshape([B, frames, rows, columns, C, pt, p, p])
    return back.transpose(0, 4, 1, 5, 2, 6, 3, 7).reshape([B, C, T, H, W])
  }
}
