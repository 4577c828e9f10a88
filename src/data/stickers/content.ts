import { backgroundOf, type Scene } from './scene.ts'

/** Finer than any difference that can be seen. */
const UNIT = 1e-4

/**
 * What a scene shows, as text: its background, and each object's icon, style, centre and side. Two scenes have the same text where
 * their pictures are the same, in whatever order their objects are listed; captions do not matter.
 */
export function contentOf(scene: Scene): string {
  const units = (value: number) => Math.round(value / UNIT)
  const each = scene.objects.map(
    ({ icon, style, x, y, size }) => `${icon.name}, ${style}, ${units(x)} ${units(y)} ${units(size)}`,
  )
  return [backgroundOf(scene), ...each.sort()].join('; ')
}
