import { expect, test } from 'vitest'
import { sceneNouns } from '../../../data/index.ts'
import { patchLabels } from './patch-labels.ts'

test('a patch shows what covers its middle, the last object above the others, or the background', () => {
  const nouns = sceneNouns(['fox', 'cat', 'frog'])
  const [fox, cat, frog] = nouns.map(({ icon }) => icon) as [never, never, never]
  const object = (icon: never, x: number, y: number, size: number) => ({ icon, style: 'noto' as const, x, y, size })
  const objects = [object(fox, 0.25, 0.25, 0.5), object(frog, 0.5, 0.5, 0.25), object(cat, 0.875, 0.125, 0.25)]
  expect(patchLabels({ objects }, nouns, 4)).toEqual([1, 1, 0, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
  expect(patchLabels({ objects }, nouns, 8).slice(24, 32)).toEqual([1, 1, 1, 3, 3, 0, 0, 0])
  expect(patchLabels({ objects: [object(fox, 0.5, 0.5, 1)] }, nouns.slice(1), 2)).toEqual([0, 0, 0, 0])
})
