import { type ComposedScene, layoutMap } from '../../../data/index.ts'
import { imagesOf, type Pixels, type Preprocessor, preprocessors, toPixels } from '../../../images/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import type { Condition } from './schema.ts'

interface Drawing {
  readonly side: number
  /** Draws scenes, [B, 3, side, side] in [−1, 1]. */
  readonly render: (scenes: readonly ComposedScene[]) => NdArray<'f32'>
}

const ofScenes: Readonly<Partial<Record<Condition, (scene: ComposedScene, drawing: Drawing) => Pixels>>> = {
  layout({ objects }, { side }) {
    const boxes = objects.map(({ icon, x, y, size }) => ({
      name: icon.name,
      box: [x - size / 2, y - size / 2, x + size / 2, y + size / 2] as const,
    }))
    return layoutMap(boxes, { width: side, height: side })
  },
  'depth-order': depthOrder,
}

/** The control image of a scene, levels [side, side, 3]. */
export function sceneCondition(condition: Condition, scene: ComposedScene, drawing: Drawing): Pixels {
  const own = ofScenes[condition]
  if (own) return own(scene, drawing)
  const [image] = imagesOf(drawing.render([scene])) as [NdArray<'f32'>]
  return preprocessors[condition as Preprocessor](toPixels(image))
}

/** The shapes of the objects on black, in even steps of grey, the nearest white. */
function depthOrder(scene: ComposedScene, { side, render }: Drawing): Pixels {
  const out = new Uint8Array(side * side * 3)
  const count = scene.objects.length
  for (const [k, object] of scene.objects.entries()) {
    // Where an object covers its background, another background changes nothing.
    const alone = (['black', 'white'] as const).map((background) => ({
      ...scene,
      background,
      ground: background,
      objects: [object],
    }))
    const [dark, light] = imagesOf(render(alone)).map(toPixels) as [Pixels, Pixels]
    for (let i = 0; i < side * side; i++) {
      const apart = (light.data[3 * i] as number) - (dark.data[3 * i] as number)
      if (apart < 110) out.fill(Math.round((255 * (k + 1)) / count), 3 * i, 3 * i + 3)
    }
  }
  return new NdArray(out, [side, side, 3], 'u8')
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
