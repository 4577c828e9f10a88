import { type ComposedScene, layoutMap } from '../../../data/index.ts'
import { imagesOf, type Pixels, type Preprocessor, preprocessors, toPixels } from '../../../images/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import type { Condition } from './schema.ts'

type OfScene = (scene: ComposedScene, side: number) => Pixels

const ofScenes: Readonly<Partial<Record<Condition, OfScene>>> = {
  layout: ({ objects }, side) =>
    layoutMap(
      objects.map(({ icon, ...box }) => ({ name: icon.name, ...box })),
      side,
    ),
}

/** The control image of a scene, levels [side, side, 3]. `render` draws scenes, [B, 3, side, side] in [−1, 1]. */
export function sceneCondition(
  condition: Condition,
  scene: ComposedScene,
  { side, render }: { readonly side: number; readonly render: (scenes: readonly ComposedScene[]) => NdArray<'f32'> },
): Pixels {
  const own = ofScenes[condition]
  if (own) return own(scene, side)
  const [image] = imagesOf(render([scene])) as [NdArray<'f32'>]
  return preprocessors[condition as Preprocessor](toPixels(image))
}

/** Control images as networks take them: [B, 3, H, W] in [0, 1]. */
export function hintsOf(maps: readonly Pixels[]): NdArray<'f32'> {
  const [H = 0, W = 0] = maps[0]?.shape ?? []
  const out = NdArray.zeros([maps.length, 3, H, W])
  for (const [b, { data }] of maps.entries())
    for (let c = 0; c < 3; c++)
      for (let i = 0; i < H * W; i++) out.data[(b * 3 + c) * H * W + i] = (data[i * 3 + c] as number) / 255
  return out
}
