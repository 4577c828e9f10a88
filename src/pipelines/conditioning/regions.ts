import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import { rescaled } from '../../diffusion/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { Size } from '../images/fit.ts'
import type { Combine } from '../sampling/guidance.ts'

const share = z.number().min(0).max(1)

/** A prompt for a part of the picture. */
export const regionOption = z.object({
  prompt: z.string(),
  /** Left, top, right and bottom as shares of the sides. */
  box: z.tuple([share, share, share, share]).optional(),
  /** f32 [1|3, H, W] in [−1, 1]: white is the region, grey a part of it. */
  mask: z.instanceof(NdArray).optional(),
  weight: z.number().positive().default(1),
})
export type Region = z.output<typeof regionOption>

export const regionModes = ['attention', 'composition'] as const
export type RegionMode = (typeof regionModes)[number]

/**
 * How much each prompt counts in each latent, f32 [1, 1 + regions, h, w], the whole picture's prompt first: that counts `base` where
 * regions are, and 1 where none is. Where regions overlap, each counts with its weight.
 *
 * @throws ArgumentError for a region that has neither box nor mask, or both, or holds no pixel
 */
export function regionWeights(regions: readonly Region[], { height, width }: Size, base: number): NdArray<'f32'> {
  const maps = regions.map((region, i) => mapOf(region, i, { height, width }))
  const covered = maps.reduce(
    (all, { map }) => all.map((value, at) => Math.max(value, map[at] as number)),
    new Float32Array(height * width),
  )
  const whole = covered.map((value) => 1 - value + base * value)
  const rows = [whole, ...maps.map(({ map, weight }) => map.map((value) => value * weight))]
  return NdArray.concat(
    rows.map((row) => NdArray.from(row, [1, 1, height, width])),
    1,
  )
}

function mapOf({ box, mask, weight, prompt }: Region, i: number, size: Size): { map: Float32Array; weight: number } {
  const name = `regions.${i} (${prompt})`
  if ((box === undefined) === (mask === undefined)) throw new ArgumentError(`${name}: give a box or a mask`)
  const map = box ? boxMap(box, size) : averaged(mask as NdArray, size)
  if (map.every((value) => value === 0)) throw new ArgumentError(`${name}: the region holds no pixel of the picture`)
  return { map, weight }
}

/** The share of each latent that lies in a box. */
function boxMap([left, top, right, bottom]: NonNullable<Region['box']>, { height, width }: Size): Float32Array {
  const within = (from: number, to: number, at: number, count: number) =>
    Math.max(0, Math.min(at + 1, to * count) - Math.max(at, from * count))
  return Float32Array.from({ length: height * width }, (_, i) => {
    const [y, x] = [Math.floor(i / width), i % width]
    return within(left, right, x, width) * within(top, bottom, y, height)
  })
}

/** A mask's means over the latents. */
function averaged(mask: NdArray, { height, width }: Size): Float32Array {
  const { data, shape } = mask.cast('f32')
  const [H, W] = shape.slice(-2) as [number, number]
  const sums = new Float32Array(height * width)
  const counts = new Float32Array(height * width)
  for (let i = 0; i < H * W; i++) {
    const at = Math.floor((Math.floor(i / W) * height) / H) * width + Math.floor(((i % W) * width) / W)
    sums[at] = (sums[at] as number) + ((data[i] as number) + 1) / 2
    counts[at] = (counts[at] as number) + 1
  }
  return sums.map((sum, at) => (counts[at] ? sum / (counts[at] as number) : 0))
}

/**
 * Guided prediction of the batch [unguided, the whole picture's prompt, one entry each of the regions']: in every latent their mean by
 * `weights` [1, R, h, w], then guidance as by one prompt (Liu et al. 2022b's composition in parts of the picture; Bar-Tal et al. 2023,
 * eq. 5). Without guidance there is no unguided entry.
 */
export function composedIn(
  scale: number,
  weights: NdArray<'f32'>,
  { guided, rescale = 0 }: { readonly guided: boolean; readonly rescale?: number },
): Combine {
  const R = weights.shape[1] as number
  const rows = Array.from({ length: R }, (_, k) => weights.slice(1, k, k + 1))
  const all = rows.reduce((a, b) => a.add(b))
  return (output) => {
    const entry = (i: number) => output.slice(0, i, i + 1)
    const first = guided ? 1 : 0
    const sum = rows.map((row, k) => entry(first + k).mul(row)).reduce((a, b) => a.add(b))
    const mean = sum.div(all)
    if (!guided) return mean
    const none = entry(0)
    return rescaled(none.add(mean.sub(none).mul(scale)), mean, rescale)
  }
}
