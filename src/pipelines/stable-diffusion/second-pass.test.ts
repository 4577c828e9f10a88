import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { maxDifference } from '../../../tests/fixture.ts'
import { decodeImage, fitPicture, imagesOf, pixelsOf, resize, toPixels, toTensor } from '../../images/index.ts'
import { NdArray } from '../../runtime/index.ts'
import { finish, type GenerateOptions, loadPipeline, loadStableDiffusion, type StableDiffusion } from '../index.ts'

const folder = fileURLToPath(new URL('../../../parity/fixtures/stable-diffusion', import.meta.url))
const timeout = 120_000
let model: StableDiffusion
let image: NdArray<'f32'>
let mask: NdArray<'f32'>
beforeAll(async () => {
  model = await loadStableDiffusion(`${folder}/sd1`, { threads: 1 })
  image = (await decodeImage(`${folder}/inputs/picture.png`)) as NdArray<'f32'>
  mask = (await decodeImage(`${folder}/inputs/mask.png`)) as NdArray<'f32'>
})
afterAll(() => model.release())
const made = (options: Partial<GenerateOptions>, of = model) =>
  finish(of.generate({ prompt: 'a fox', steps: 4, scheduler: 'ddim', ...options }))

describe('hires fix', () => {
  test('is image to image from the first latents enlarged', { timeout }, async () => {
    const stages: (number | undefined)[] = []
    const hires = { hires: 2, hiresSteps: 5, hiresStrength: 0.6, num: 2 }
    const found = await finish(
      model.generate({ prompt: 'a fox', steps: 4, scheduler: 'ddim', ...hires }),
      ({ stage }) => void stages.push(stage),
    )
    expect(found.shape).toEqual([2, 3, 64, 64])
    expect([...new Set(stages)]).toEqual([undefined, 1])
    const first = (await made({ num: 2, output: 'latents' })) as NdArray<'f32'>
    const latents = NdArray.stack(
      imagesOf(first as never).map((one) => resize(one as NdArray<'f32'>, { height: 32, width: 32, kernel: 'bilinear' })),
    )
    expect(maxDifference(found, await made({ latents, steps: 5, strength: 0.6, num: 2, height: 64, width: 64 }))).toBe(0)
  })

  test('through pictures enlarged by Lanczos', { timeout }, async () => {
    const other = await loadStableDiffusion(`${folder}/sd1`, { threads: 1, hiresUpscaler: 'lanczos' })
    const found = await made({ hires: 1.5 }, other)
    await other.release()
    expect([found.shape, found.allFinite()]).toEqual([[1, 3, 48, 48], true])
    expect(maxDifference(found, await made({ hires: 1.5 }))).toBeGreaterThan(1e-3)
  })

  test('what cannot be is refused before the first pass', () => {
    const plan = (options: Partial<GenerateOptions>) => () => model.plan({ prompt: 'a fox', ...options })
    expect(plan({ hires: 2, image })).toThrow(/hires \(text to image\)/)
    expect(plan({ hiresSteps: 3 })).toThrow(/hiresSteps \(hires\)/)
    expect(plan({ hires: 2, hiresSteps: 1, hiresStrength: 0.1 })).toThrow(/leaves no step/)
    expect(plan({ hires: 2, denoisingEnd: 0.5 })).toThrow(/leave denoisingEnd out/)
  })
})

test('a given picture comes to the size by the resize modes', { timeout }, async () => {
  const size = { width: 48, height: 32, strength: 0.5 }
  for (const mode of ['crop', 'fill'] as const) {
    const own = toTensor(fitPicture(pixelsOf(image), { width: 48, height: 32, mode }))
    expect(maxDifference(await made({ image, ...size, resizeMode: mode }), await made({ image: own, ...size }))).toBe(0)
  }
  expect(maxDifference(await made({ image, ...size, resizeMode: 'crop' }), await made({ image, ...size }))).toBeGreaterThan(1e-3)
})

describe('in-painting', () => {
  const size = { width: 32, height: 32, strength: 0.7 }
  test('the masked part begins with what is asked for', { timeout }, async () => {
    const of = (fill: GenerateOptions['fill']) => made({ image, mask, ...size, fill })
    const original = await of('original')
    const found = [original, await of('fill'), await of('noise'), await of('nothing')]
    for (const [i, a] of found.entries()) for (const b of found.slice(i + 1)) expect(maxDifference(a, b)).toBeGreaterThan(1e-3)
    expect(maxDifference(original, await made({ image, mask, ...size }))).toBe(0)
    // With all of it masked, what begins with nothing knows nothing of the picture.
    const white = mask.map(() => 1) as NdArray<'f32'>
    const all = (fill: GenerateOptions['fill'], given: NdArray) => made({ image: given, mask: white, ...size, fill })
    expect(maxDifference(await all('nothing', image), await all('nothing', mask))).toBe(0)
    expect(maxDifference(await all('original', image), await all('original', mask))).toBeGreaterThan(1e-3)
  })

  test('laid over the picture, all that is not masked stays to the bit', { timeout }, async () => {
    const wide = (await decodeImage(`${folder}/inputs/picture.png`)) as NdArray<'f32'>
    const [picture] = imagesOf(await made({ image: wide, mask, ...size, paste: true }))
    const [levels, given, marks] = [toPixels(picture as NdArray), pixelsOf(wide), pixelsOf(mask)]
    let [same, changed] = [0, 0]
    for (let i = 0; i < given.data.length; i++) {
      const equal = levels.data[i] === given.data[i]
      if (marks.data[i] === 0) same += equal ? 0 : 1
      else changed += equal ? 0 : 1
    }
    expect([same, changed > 100]).toEqual([0, true])
  })

  test('what nothing would be left of is refused', () => {
    expect(() => model.plan({ prompt: '', image, mask, fill: 'noise' })).toThrow(/fill: at strength 1 nothing of it is left/)
    expect(() => model.plan({ prompt: '', image, fill: 'noise' })).toThrow(/fill \(a mask\)/)
  })
})

test('what the refiner cannot do is refused before the base runs', { timeout }, async () => {
  const cascade = await loadPipeline(`${folder}/xl`, { threads: 1, refiner: `${folder}/xl-refiner` })
  const plan = (options: Record<string, unknown>) => () => cascade.plan({ prompt: 'a fox', ...options })
  expect(plan({ hires: 2 })).toThrow(/hires: with a refiner there is no second pass/)
  expect(plan({ prompt: '', promptEmbeds: NdArray.zeros([1, 77, 4]) })).toThrow(/a refiner has its own text encoder/)
  expect(plan({ pagScale: 2, pagLayers: ['nowhere'] })).toThrow(/no self-attention with nowhere/)
  plan({ pagScale: 2 })()
  await cascade.release()
})

test('perturbed attention and FreeU say what they cannot do', () => {
  const plan = (options: Partial<GenerateOptions>) => () => model.plan({ prompt: 'a fox', ...options })
  expect(plan({ pagScale: 3, pagLayers: ['nowhere'] })).toThrow(/no self-attention with nowhere in its name; it has .*mid_block/)
  expect(plan({ pagLayers: ['up_blocks'] })).toThrow(/pagLayers \(pagScale\)/)
  expect(plan({ pagScale: 3, prompt: 'a AND b' })).toThrow(/pagScale: not with prompts that AND joins/)
  plan({ pagScale: 0, pagLayers: ['mid'], freeu: [1.5, 1.6, 0.9, 0.2] })()
})
