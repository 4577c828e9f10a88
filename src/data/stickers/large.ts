import { ArgumentError } from '../../core/errors.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { Icon, Style } from './catalogue.ts'
import { vectorIcons } from './rasters.ts'
import { drawScene, type Scene } from './scene.ts'

/** Icons kept in memory: some 70 MB at 256 pixels. */
const KEPT = 256

/**
 * Draws scenes at any size from the icons' vectors: no icon is enlarged from fewer pixels. [B, 3, side, side] in [−1, 1].
 * Objects stand where `SceneDataset.render` draws them small.
 *
 * @throws ArgumentError for a side that is not an integer
 */
export function largeScenes(side: number): (scenes: readonly Scene[]) => Promise<NdArray<'f32'>> {
  if (!Number.isInteger(side) || side < 1) throw new ArgumentError(`scenes: expected a size in whole pixels, got ${side}`)
  const drawIcon = vectorIcons()
  const kept = new Map<string, Promise<Uint8Array>>()
  const iconOf = (icon: Icon, style: Style): Promise<Uint8Array> => {
    const key = `${style} ${icon.name}`
    const pixels = kept.get(key) ?? drawIcon(icon, style, side)
    kept.delete(key) // So that the one that was used last is the last to go.
    kept.set(key, pixels)
    if (kept.size > KEPT) kept.delete(kept.keys().next().value as string)
    return pixels
  }
  return async (scenes) => {
    const images = NdArray.zeros([scenes.length, 3, side, side])
    const each = 3 * side * side
    for (const [i, scene] of scenes.entries()) {
      const drawn = await Promise.all(scene.objects.map(({ icon, style }) => iconOf(icon, style)))
      const icons = scene.objects.map(({ icon, style }, k) => [style, icon, drawn[k] as Uint8Array] as const)
      const of = (style: Style) => ({
        of: (icon: Icon) => icons.find(([other, own]) => own === icon && other === style)?.[2] as Uint8Array,
      })
      const rasters = new Map(icons.map(([style]) => [style, of(style)]))
      drawScene(scene, rasters, side, images.data.subarray(i * each, (i + 1) * each))
    }
    return images
  }
}
