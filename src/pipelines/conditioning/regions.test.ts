import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { maxDifference } from '../../../tests/fixture.ts'
import { regionOf, regionTexts } from '../../cli/generate/regions.ts'
import { input } from '../../core/tensor.ts'
import { regionScores } from '../../nn/regions.ts'
import { NdArray } from '../../runtime/index.ts'
import { compile } from '../../runtime/program.ts'
import { finish, type GenerateOptions, loadPipeline, loadStableDiffusion, type Region } from '../index.ts'
import { composedIn, regionWeights } from './regions.ts'

const size = { height: 2, width: 4 }
const half = (prompt: string, left: number, weight = 1): Region => ({ prompt, weight, box: [left, 0, left + 0.5, 1] })

describe('weights', () => {
  test('each prompt counts in its place, the whole picture’s where none is, and by its share within', () => {
    const weights = regionWeights([{ prompt: 'a', weight: 2, box: [0, 0, 0.375, 1] }], size, 0.25)
    expect(weights.shape).toEqual([1, 2, 2, 4])
    expect([...weights.slice(1, 0, 1).slice(2, 0, 1).data]).toEqual([0.25, 0.625, 1, 1])
    expect([...weights.slice(1, 1, 2).slice(2, 0, 1).data]).toEqual([2, 1, 0, 0])
  })

  test('a mask’s means over the latents', () => {
    const mask = NdArray.from([[1, 1, -1, -1, 1, -1, -1, -1]]).reshape([1, 1, 8])
    expect([...regionWeights([{ prompt: 'a', weight: 1, mask }], { height: 1, width: 4 }, 0).slice(1, 1, 2).data]).toEqual([
      1, 0, 0.5, 0,
    ])
  })

  test.each([
    [{ prompt: 'a', weight: 1 }, /regions\.0 \(a\): give a box or a mask/],
    [{ prompt: 'a', weight: 1, box: [0, 0, 0, 1] as [number, number, number, number] }, /holds no pixel/],
  ])('%j is refused', (region, message) => {
    expect(() => regionWeights([region], size, 0)).toThrow(message)
  })

  test('of predictions: the mean by the weights, pixel by pixel, then guidance', () => {
    const weights = regionWeights([half('a', 0), half('b', 0.5)], { height: 1, width: 2 }, 0)
    const output = NdArray.from([
      [0, 0],
      [5, 5],
      [1, 1],
      [2, 2],
    ]).reshape([4, 1, 1, 2])
    expect([...(composedIn(3, weights, { guided: true })(output).data as Float32Array)]).toEqual([3, 6])
    expect([...(composedIn(3, weights, { guided: false })(output.slice(0, 1, 4)).data as Float32Array)]).toEqual([1, 2])
  })

  test('of attention: a prompt is seen in its region alone, at any size of the features', async () => {
    const weights = regionWeights([half('a', 0), half('b', 0.5)], { height: 4, width: 4 }, 0)
    const scores = regionScores(input('weights', weights.shape), 6)
    const program = await compile({ outputs: { fine: scores(4, 4), coarse: scores(2, 2) } })
    const { fine, coarse } = (await program.run({ weights })) as Record<string, NdArray<'f32'>>
    await program.release()
    expect(fine?.shape).toEqual([1, 1, 16, 6])
    for (const [at, columns] of [
      [fine, 4],
      [coarse, 2],
    ] as const)
      for (let i = 0; i < columns ** 2; i++) {
        const row = [...(at as NdArray<'f32'>).data.subarray(i * 6, (i + 1) * 6)].map((score) => Math.exp(score) > 0.5)
        const left = i % columns < columns / 2
        expect(row).toEqual([false, false, left, left, !left, !left])
      }
  })
})

describe('pictures', () => {
  const folder = fileURLToPath(new URL('../../../parity/fixtures/stable-diffusion', import.meta.url))
  const opened = loadStableDiffusion(`${folder}/sd1`, { threads: 1 })
  afterAll(async () => (await opened).release())
  const latents = async (options: Partial<GenerateOptions>) =>
    (await finish(
      (await opened).generate({ prompt: 'two hens', steps: 3, guidance: 4, output: 'latents', ...options }),
    )) as NdArray
  const whole: Region = { prompt: 'a fox', weight: 1, box: [0, 0, 1, 1] }

  test.each(['attention', 'composition'] as const)(
    '%s: a region that is all of the picture is as its prompt',
    { timeout: 60_000 },
    async (regionMode) => {
      const fox = await latents({ prompt: 'a fox' })
      expect(maxDifference(await latents({ regions: [whole], regionMode, regionBase: 0 }), fox)).toBeLessThan(1e-4)
      // As much of the whole picture's prompt as of a region that says the same changes nothing either.
      const same = await latents({ prompt: 'a fox', regions: [{ ...whole, weight: 3 }], regionMode, regionBase: 1 })
      expect(maxDifference(same, fox)).toBeLessThan(1e-4)
      const halves = await latents({ regions: [half('a fox', 0), half('a hat', 0.5)], regionMode, regionBase: 0 })
      expect(maxDifference(halves, fox)).toBeGreaterThan(1e-2)
    },
  )

  test('what does not go with regions is refused, and the plan says them', async () => {
    const model = await loadPipeline(`${folder}/sd1`)
    await expect(latents({ prompt: 'a AND b', regions: [whole] })).rejects.toThrow(/regions: not with prompts that AND joins/)
    await expect(latents({ regions: [whole], pagScale: 2 })).rejects.toThrow(/pagScale: not with regions/)
    await expect(latents({ regionMode: 'composition' })).rejects.toThrow(/regionMode: there are no regions/)
    await expect(latents({ regions: [{ ...whole, prompt: 'a <lora:x:1>' }] })).rejects.toThrow(/regions\.0: a LoRA acts on all/)
    expect(model.plan({ prompt: 'b', regions: [half('a', 0.5, 2)] }).settings.Regions).toBe(
      '[{"prompt":"a","box":[0.5,0,1,1],"weight":2}]',
    )
  })
})

describe('--region', () => {
  test('a box, a weight, and back from a picture’s settings', async () => {
    const text = 'a fox, red@0,.25,0.5,1:1.5'
    const region = await regionOf(text)
    expect(region).toEqual({ prompt: 'a fox, red', weight: 1.5, box: [0, 0.25, 0.5, 1] })
    expect(await regionOf((regionTexts(JSON.stringify([region])) as string[])[0] as string)).toEqual(region)
    expect(regionTexts('[{"prompt":"a","mask":true}]')).toBeUndefined()
  })

  test.each(['a fox', 'a fox@', '@0,0,1,1', 'a@0.5,0,0.5,1', 'a@0,0,2,1', 'a@here', 'a@0,0,1,1:0'])(
    '%s is refused',
    async (text) => {
      await expect(regionOf(text)).rejects.toThrow(/--region: .*write "PROMPT@LEFT,TOP,RIGHT,BOTTOM"/)
    },
  )
})
