import { NdArray } from '../../runtime/ndarray.ts'
import type { Generator } from '../../runtime/random.ts'
import type { Draw } from '../stickers/draw.ts'
import { sizesOf, type UnitImage } from './planes.ts'

/** Normal noise of `sigma` levels of 255; grey noise is the same in all channels. */
export function gaussianNoise(image: UnitImage, generator: Generator, sigma: number, grey: boolean): UnitImage {
  const { C, H, W } = sizesOf(image)
  const noise = generator.randn([grey ? 1 : C, H, W])
  return image.map((value, i) => value + (sigma / 255) * (noise.data[grey ? i % (H * W) : i] as number)).clamp(0, 1)
}

/**
 * The noise of counted photons, `scale` times: brighter pixels have more. Pictures of more levels have finer counts: as many to
 * white as the power of 2 next to the number of different levels. Grey noise is that of the picture's grey.
 */
export function poissonNoise(image: UnitImage, draw: Draw, scale: number, grey: boolean): UnitImage {
  const { H, W } = sizesOf(image)
  const source = (grey ? greyOf(image) : image).map((value) => Math.round(Math.min(1, Math.max(0, value)) * 255) / 255)
  const counts = 2 ** Math.ceil(Math.log2(new Set(source.data).size))
  const noise = source.map((value) => poisson(draw, value * counts) / counts - value)
  return image.map((value, i) => value + scale * (noise.data[grey ? i % (H * W) : i] as number)).clamp(0, 1)
}

/** Luma by ITU-R 601: [3, H, W] → [1, H, W]. */
export function greyOf(image: UnitImage): UnitImage {
  const { C, H, W } = sizesOf(image)
  if (C === 1) return image
  const plane = H * W
  const at = (c: number, i: number) => image.data[c * plane + i] as number
  return new NdArray(
    Float32Array.from({ length: plane }, (_, i) => 0.2989 * at(0, i) + 0.587 * at(1, i) + 0.114 * at(2, i)),
    [1, H, W],
    'f32',
  )
}

/** A count whose mean is `mean`, by inversion (Devroye 1986, section X.3.3): means here are at most 256, so that e⁻ᵐ is a number still. */
export function poisson(draw: Draw, mean: number): number {
  let probability = Math.exp(-mean)
  let left = draw.uniform() - probability
  let count = 0
  while (left >= 0 && count < 4 * mean + 40) {
    probability *= mean / ++count
    left -= probability
  }
  return count
}
