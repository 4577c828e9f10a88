import { z } from 'zod'
import { type ComposedScene, largeScenes } from '../../../data/index.ts'
import { resize } from '../../../images/index.ts'
import type { Autoencoder } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import type { Generator } from '../../../runtime/random.ts'

/** Where small pictures come from: shrunk large ones, scenes drawn small, or what an autoencoder makes of those. */
export const sources = ['bicubic', 'drawn', 'autoencoder'] as const
export type Source = (typeof sources)[number]

export const sourcesSchema = z.record(z.enum(sources), z.number().min(0)).default({ bicubic: 1, drawn: 1, autoencoder: 1 })

/** Pictures of the same scenes: small [B, 3, h, w] and large [B, 3, scale·h, scale·w], in [0, 1]. */
export interface Pairs {
  readonly small: NdArray<'f32'>
  readonly large: NdArray<'f32'>
}

export interface PairOptions {
  /** Draws scenes small. */
  readonly render: (scenes: readonly ComposedScene[]) => NdArray<'f32'>
  /** Pixels a side of the small picture. */
  readonly size: number
  readonly scale: number
  readonly autoencoder?: Autoencoder
}

/** Draws scenes in both sizes, the small one from a source. */
export function pairMaker({ render, size, scale, autoencoder }: PairOptions) {
  const renderLarge = largeScenes(size * scale)
  return async (scenes: readonly ComposedScene[], source: Source): Promise<Pairs> => {
    const large = await renderLarge(scenes)
    const small = await smallOf(scenes, large, source)
    return { small: unit(small), large: unit(large) }
  }

  async function smallOf(scenes: readonly ComposedScene[], large: NdArray<'f32'>, source: Source): Promise<NdArray<'f32'>> {
    if (source === 'bicubic') return resize(large, { width: size, height: size, kernel: 'bicubic', range: [-1, 1] })
    const drawn = render(scenes)
    if (source === 'drawn' || !autoencoder) return drawn
    return (await autoencoder.decode(await autoencoder.encode(drawn))).clamp(-1, 1)
  }
}

/** [−1, 1] → [0, 1], as upscalers have it, in levels of 255 as files have them. */
const unit = (x: NdArray<'f32'>): NdArray<'f32'> => x.map((value) => Math.round((value + 1) * 127.5) / 255)

/** One part of a pair at a random place: `patch` pixels a side of the small picture. */
export function cropPair({ small, large }: Pairs, patch: number, scale: number, generator: Generator): Pairs {
  const [height, width] = small.shape.slice(-2) as [number, number]
  const place = (room: number) => Math.floor((generator.bits() / 2 ** 32) * (room + 1))
  const [y, x] = [place(height - patch), place(width - patch)]
  const cut = (image: NdArray<'f32'>, factor: number) =>
    image.slice(2, y * factor, (y + patch) * factor).slice(3, x * factor, (x + patch) * factor)
  return { small: cut(small, 1), large: cut(large, scale) }
}

export const joined = (pairs: readonly Pairs[]): Pairs => ({
  small: NdArray.concat(pairs.map(({ small }) => small)),
  large: NdArray.concat(pairs.map(({ large }) => large)),
})
