import { type ComposedScene, largeScenes, type SceneDataset } from '../../../data/index.ts'
import { resize } from '../../../images/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import type { Generator } from '../../../runtime/random.ts'

/** Pixels a side up to which a scene is drawn from its icons' pixels; larger ones are drawn from their vectors. */
export const SMALL = 64

/** Draws scenes at a size: [B, 3, size, size] in [−1, 1]. `dataset` has the size, or `SMALL` where it is larger. */
export function sceneDrawer(dataset: Pick<SceneDataset, 'render'>, size: number) {
  const large = size > SMALL ? largeScenes(size) : undefined
  return async (scenes: readonly ComposedScene[]): Promise<NdArray<'f32'>> => (large ? large(scenes) : dataset.render(scenes))
}

/** Pictures by position, [1, 3, size, size]; what was drawn is kept, as levels: drawing takes as long as a step on parts of it. */
export function keptPictures(dataset: Pick<SceneDataset, 'render' | 'sceneAt'>, size: number) {
  const draw = sceneDrawer(dataset, size)
  const kept = new Map<number, Uint8Array>()
  return async (position: number): Promise<NdArray<'f32'>> => {
    let levels = kept.get(position)
    if (!levels) {
      const drawn = await draw([dataset.sceneAt(position)])
      levels = Uint8Array.from(drawn.data, (value) => Math.round((value + 1) * 127.5))
      kept.set(position, levels)
    }
    const data = Float32Array.from(levels, (level) => level / 127.5 - 1)
    return new NdArray(data, [1, 3, size, size], 'f32')
  }
}

/** A picture shrunk as often, [B, 3, H/scale, W/scale]. */
export function shrunk(images: NdArray<'f32'>, scale: number): NdArray<'f32'> {
  const [H, W] = images.shape.slice(-2) as [number, number]
  return resize(images, { height: H / scale, width: W / scale, kernel: 'bicubic', range: [-1, 1] })
}

/** The same part of several pictures [1, C, n, n], `side` pixels wide, at a random place whose corner is a multiple of `unit`. */
export function cropped(images: readonly NdArray<'f32'>[], side: number, unit: number, generator: Generator): NdArray<'f32'>[] {
  const size = images[0]?.shape.at(-1) as number
  if (side === size) return [...images]
  const places = Math.floor((size - side) / unit) + 1
  const place = () => Math.floor((generator.bits() / 2 ** 32) * places) * unit
  const [top, left] = [place(), place()]
  return images.map((image) => image.slice(2, top, top + side).slice(3, left, left + side))
}
