import { expect, test } from 'vitest'
import { maxDifference } from '../../../tests/fixture.ts'
import { sampledLevels, videoCases, videoCheckpoint, videoFrames, videoPicture } from '../../../tests/video.ts'
import { toTensor } from '../../images/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { loadPipeline } from '../load.ts'
import type { Result } from '../page.ts'

type Film = Extract<Result, { type: 'frames' }>

const checkpoints = [...new Set(videoCases.map(({ checkpoint }) => checkpoint))]

test.each(checkpoints)('frames of %s are those of diffusers for the seed', { timeout: 120_000 }, async (checkpoint) => {
  const pipeline = await loadPipeline(videoCheckpoint(checkpoint), { threads: 1, prepack: false })
  try {
    for (const { name, scheduler, options, expected } of videoCases.filter((one) => one.checkpoint === checkpoint)) {
      const given = {
        ...options,
        ...(checkpoint.startsWith('cogvideox') && { maxLength: 12 }),
        ...(scheduler !== undefined && { scheduler }),
        ...('image' in options && { image: toTensor(videoPicture) }),
      }
      const steps = pipeline.generate(given)
      let next = await steps.next()
      while (!next.done) next = await steps.next()
      const { frames } = next.value as Film
      const [num, ...shape] = frames.shape as [number, ...number[]]
      expect(num, name).toBe(expected.length)
      for (const [k, key] of expected.entries()) {
        const found = sampledLevels(frames.slice(0, k, k + 1).reshape(shape))
        expect(maxDifference(found, videoFrames.tensors.get(key) as NdArray), key).toBeLessThanOrEqual(1)
      }
    }
  } finally {
    await pipeline.release()
  }
})

test('what a model cannot make is refused before it runs, with what it makes', async () => {
  const latte = await loadPipeline(videoCheckpoint('latte'), { threads: 1 })
  const plan = (options: object) => () => latte.plan({ prompt: 'a fox', ...options })
  expect(plan({ frames: 5 })).toThrow('films of 4 frames, or of one; got 5')
  expect(plan({ width: 50 })).toThrow('multiples of 16; got 50 × 64')
  expect(latte.plan({ prompt: 'a fox', fps: 12 }).settings).toMatchObject({ Frames: 4, FPS: 12, Size: '64x64' })
  await latte.release()
})
