import { z } from 'zod'
import { type ComposedScene, degrade, largeScenes, unsharpMask } from '../../../data/index.ts'
import { resize } from '../../../images/index.ts'
import type { Autoencoder } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { Generator } from '../../../runtime/random.ts'

/** Where small pictures come from: shrunk large ones, those degraded, scenes drawn small, or what an autoencoder makes of those. */
export const sources = ['bicubic', 'degraded', 'drawn', 'autoencoder'] as const
export type Source = (typeof sources)[number]

export const sourcesSchema = z.partialRecord(z.enum(sources), z.number().min(0)).default({ bicubic: 1, drawn: 1, autoencoder: 1 })

/** Pictures of the same scenes, in [0, 1]. */
export interface Pairs {
  /** [B, 3, h, w] */
  readonly small: NdArray<'f32'>
  /** [B, 3, scale·h, scale·w] */
  readonly large: NdArray<'f32'>
  /** The large ones sharpened, where asked for. */
  readonly sharp?: NdArray<'f32'>
}

export interface PairOptions {
  /** Draws scenes small. */
  readonly render: (scenes: readonly ComposedScene[]) => NdArray<'f32'>
  readonly sceneAt: (position: number) => ComposedScene
  /** Pixels a side of the small picture. */
  readonly size: number
  readonly scale: number
  readonly autoencoder: Autoencoder
  /** Whether large pictures are given sharpened too. */
  readonly sharpen?: boolean
  /** Decides how pictures are degraded. */
  readonly seed: number
}

/** Pictures as bytes, [1, 3, side, side]. */
interface Kept {
  readonly position: number
  readonly scene: ComposedScene
  readonly large: Uint8Array
  readonly sharp?: Uint8Array
  readonly small: Map<Source, Promise<Uint8Array>>
}

/**
 * Scenes in both sizes by position, the small picture from a source. What was made is kept, as bytes: drawing a scene takes as long as
 * a network's step on parts of it, and 200 kB at 256 pixels.
 */
export function pairPool({ render, sceneAt, size, scale, autoencoder, sharpen = false, seed }: PairOptions) {
  const side = size * scale
  const renderLarge = largeScenes(side)
  const kept = new Map<number, Promise<Kept>>()

  const root = new Generator(seed)

  async function draw(position: number): Promise<Kept> {
    const scene = sceneAt(position)
    const large = bytes(await renderLarge([scene]))
    const sharp = sharpen && levels(unsharpMask(unit(large, side).reshape([3, side, side])))
    return { position, scene, large, ...(sharp && { sharp }), small: new Map() }
  }

  async function smallOf({ position, scene, large, sharp }: Kept, source: Source): Promise<Uint8Array> {
    if (source === 'bicubic')
      return bytes(resize(signed(large, side), { width: size, height: size, kernel: 'bicubic', range: [-1, 1] }))
    if (source === 'degraded') {
      const image = unit(sharp ?? large, side).reshape([3, side, side])
      return levels(await degrade(image, root.fork(`degraded ${position}`), scale))
    }
    const drawn = render([scene])
    if (source === 'drawn') return bytes(drawn)
    return bytes((await autoencoder.decode(await autoencoder.encode(drawn))).clamp(-1, 1))
  }

  return async (position: number, source: Source): Promise<Pairs> => {
    const found = kept.get(position) ?? draw(position)
    kept.set(position, found)
    const scene = await found
    const small = scene.small.get(source) ?? smallOf(scene, source)
    scene.small.set(source, small)
    const { large, sharp } = scene
    return { small: unit(await small, size), large: unit(large, side), ...(sharp && { sharp: unit(sharp, side) }) }
  }
}

/** [−1, 1] in levels of 255, as files have them. */
const bytes = (x: NdArray<'f32'>): Uint8Array => Uint8Array.from(x.data, (value) => Math.round((value + 1) * 127.5))
/** The same of [0, 1]. */
const levels = (x: NdArray<'f32'>): Uint8Array => Uint8Array.from(x.data, (value) => Math.round(value * 255))
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
export function cropPair({ small, large, sharp }: Pairs, patch: number, scale: number, generator: Generator): Pairs {
  const [height, width] = small.shape.slice(-2) as [number, number]
  const place = (room: number) => Math.floor((generator.bits() / 2 ** 32) * (room + 1))
  const [y, x] = [place(height - patch), place(width - patch)]
  const way = generator.bits() >>> 29
  const cut = (image: NdArray<'f32'>, factor: number) =>
    turned(image.slice(2, y * factor, (y + patch) * factor).slice(3, x * factor, (x + patch) * factor), way)
  return { small: cut(small, 1), large: cut(large, scale), ...(sharp && { sharp: cut(sharp, scale) }) }
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

export function joined(pairs: readonly Pairs[]): Pairs {
  const all = (of: (pair: Pairs) => NdArray<'f32'> | undefined) => pairs.flatMap((pair) => of(pair) ?? [])
  const [small, large, sharp] = [all((pair) => pair.small), all((pair) => pair.large), all((pair) => pair.sharp)]
  return {
    small: NdArray.concat(small),
    large: NdArray.concat(large),
    ...(sharp.length > 0 && { sharp: NdArray.concat(sharp) }),
  }
}
