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
  readonly sceneAt: (position: number) => ComposedScene
  /** Pixels a side of the small picture. */
  readonly size: number
  readonly scale: number
  readonly autoencoder?: Autoencoder
}

/** Pictures as bytes, [1, 3, side, side]. */
interface Kept {
  readonly scene: ComposedScene
  readonly large: Uint8Array
  readonly small: Map<Source, Promise<Uint8Array>>
}

/**
 * Scenes in both sizes by position, the small picture from a source. What was made is kept, as bytes: drawing a scene takes as long as
 * a network's step on parts of it, and 200 kB at 256 pixels.
 */
export function pairPool({ render, sceneAt, size, scale, autoencoder }: PairOptions) {
  const side = size * scale
  const renderLarge = largeScenes(side)
  const kept = new Map<number, Promise<Kept>>()

  async function draw(position: number): Promise<Kept> {
    const scene = sceneAt(position)
    return { scene, large: bytes(await renderLarge([scene])), small: new Map() }
  }

  async function smallOf({ scene, large }: Kept, source: Source): Promise<Uint8Array> {
    if (source === 'bicubic')
      return bytes(resize(signed(large, side), { width: size, height: size, kernel: 'bicubic', range: [-1, 1] }))
    const drawn = render([scene])
    if (source === 'drawn' || !autoencoder) return bytes(drawn)
    return bytes((await autoencoder.decode(await autoencoder.encode(drawn))).clamp(-1, 1))
  }

  return async (position: number, source: Source): Promise<Pairs> => {
    const found = kept.get(position) ?? draw(position)
    kept.set(position, found)
    const scene = await found
    const small = scene.small.get(source) ?? smallOf(scene, source)
    scene.small.set(source, small)
    return { small: unit(await small, size), large: unit(scene.large, side) }
  }
}

/** [−1, 1] in levels of 255, as files have them. */
const bytes = (x: NdArray<'f32'>): Uint8Array => Uint8Array.from(x.data, (value) => Math.round((value + 1) * 127.5))
const picture = (data: Float32Array, side: number) => new NdArray(data, [1, 3, side, side], 'f32')
const signed = (levels: Uint8Array, side: number) =>
  picture(
    Float32Array.from(levels, (level) => level / 127.5 - 1),
    side,
  )
/** [0, 1], as upscalers have it. */
const unit = (levels: Uint8Array, side: number) =>
  picture(
    Float32Array.from(levels, (level) => level / 255),
    side,
  )

/** One part of a pair at a random place: `patch` pixels a side of the small picture, turned and mirrored at random. */
export function cropPair({ small, large }: Pairs, patch: number, scale: number, generator: Generator): Pairs {
  const [height, width] = small.shape.slice(-2) as [number, number]
  const place = (room: number) => Math.floor((generator.bits() / 2 ** 32) * (room + 1))
  const [y, x] = [place(height - patch), place(width - patch)]
  const way = generator.bits() >>> 29
  const cut = (image: NdArray<'f32'>, factor: number) =>
    turned(image.slice(2, y * factor, (y + patch) * factor).slice(3, x * factor, (x + patch) * factor), way)
  return { small: cut(small, 1), large: cut(large, scale) }
}

/** One of the eight ways to turn and mirror a square picture [B, C, n, n]: 0 leaves it. */
export function turned(image: NdArray<'f32'>, way: number): NdArray<'f32'> {
  const n = image.shape.at(-1) as number
  const data = Float32Array.from(image.data, (_, i) => {
    const [plane, at] = [Math.floor(i / (n * n)), i % (n * n)]
    const [y, x] = [Math.floor(at / n), at % n]
    const [v, u] = [way & 1 ? n - 1 - y : y, way & 2 ? n - 1 - x : x]
    return image.data[plane * n * n + (way & 4 ? u * n + v : v * n + u)] as number
  })
  return new NdArray(data, image.shape, 'f32')
}

export const joined = (pairs: readonly Pairs[]): Pairs => ({
  small: NdArray.concat(pairs.map(({ small }) => small)),
  large: NdArray.concat(pairs.map(({ large }) => large)),
})
