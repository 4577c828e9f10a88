import { filmGeometry, geometryOf, patchesOf, type VideoDitConfig } from '../../../models/video-dit/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'

/** A film's latents [C, T, h, w], noise of their shape, its timestep as a share of all, and which latent frames are given. */
export interface NoisedFilm {
  readonly clean: NdArray<'f32'>
  readonly noise: NdArray<'f32'>
  readonly time: number
  readonly given: readonly number[]
}

/**
 * Films of any lengths and sizes as one batch of rows of `count` tokens, as the network takes them: `x` and `target` [B, N, D], `time`,
 * `present` and `weight` [B, N], `cos` and `sin` [B, N, d/2]. Given frames are clean, at time 0, and weigh nothing; the weights of a film's
 * other tokens sum to 1.
 */
export function packedFilms(films: readonly NoisedFilm[], count: number, steps: number, config: VideoDitConfig) {
  const half = config.attention_head_dim / 2
  const values = config.in_channels * config.patch_size_t * config.patch_size ** 2
  const B = films.length
  const zeros = (...shape: number[]) => NdArray.zeros([B, count, ...shape], 'f32')
  const [x, target, cos, sin] = [zeros(values), zeros(values), zeros(half), zeros(half)] as [
    NdArray<'f32'>,
    NdArray<'f32'>,
    NdArray<'f32'>,
    NdArray<'f32'>,
  ]
  const [time, present, weight] = [zeros(), zeros(), zeros()] as [NdArray<'f32'>, NdArray<'f32'>, NdArray<'f32'>]
  // What does not turn has a cosine of 1.
  cos.data.fill(1)
  for (const [b, { clean, noise, time: share, given }] of films.entries()) {
    const grid = geometryOf(clean.shape, config)
    const each = grid[1] * grid[2]
    const [tokens, noised] = [patchesOf(clean, config), patchesOf(noise, config)]
    const turns = filmGeometry(grid, config)
    const known = new Set(given.map((frame) => Math.floor(frame / config.patch_size_t)))
    const free = (grid[0] - known.size) * each
    for (let n = 0; n < grid[0] * each; n++) {
      const row = b * count + n
      const fixed = known.has(Math.floor(n / each))
      const t = fixed ? 0 : share
      for (let d = 0; d < values; d++) {
        const [c, e] = [tokens.data[n * values + d] as number, noised.data[n * values + d] as number]
        x.data[row * values + d] = (1 - t) * c + t * e
        target.data[row * values + d] = e - c
      }
      cos.data.set(turns.cos.data.subarray(n * half, (n + 1) * half), row * half)
      sin.data.set(turns.sin.data.subarray(n * half, (n + 1) * half), row * half)
      time.data[row] = t * steps
      present.data[row] = 1
      weight.data[row] = fixed ? 0 : 1 / free
    }
  }
  return { x, target, time, cos, sin, present, weight }
}
