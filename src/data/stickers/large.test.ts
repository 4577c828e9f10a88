import { expect, test } from 'vitest'
import { resize } from '../../images/index.ts'
import { largeScenes } from './large.ts'
import { sceneDataset } from './scenes.ts'

test('scenes drawn large are the small ones, with more detail', async () => {
  const small = await sceneDataset({ size: 64, seed: 3 })
  const scenes = [0, 1, 2, 3].map((position) => small.sceneAt(position))
  const large = await largeScenes(256)(scenes)
  expect(large.shape).toEqual([4, 3, 256, 256])
  const shrunk = resize(large, { width: 64, height: 64, kernel: 'bicubic', range: [-1, 1] })
  const error = shrunk.sub(small.render(scenes)).square().mean().item()
  expect(10 * Math.log10(4 / error)).toBeGreaterThan(30)
  const enlarged = resize(small.render(scenes), { width: 256, height: 256, kernel: 'bicubic', range: [-1, 1] })
  expect(10 * Math.log10(4 / enlarged.sub(large).square().mean().item())).toBeLessThan(33)
  const again = await largeScenes(256)(scenes)
  expect(again.data).toEqual(large.data)
})

test('a size that is no whole number of pixels is refused', () => {
  expect(() => largeScenes(12.5)).toThrow('scenes: expected a size in whole pixels, got 12.5')
})
