import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { maxDifference } from '../../../tests/fixture.ts'
import { ArgumentError } from '../../core/errors.ts'
import { decodeImage } from '../../images/index.ts'
import { Generator, NdArray } from '../../runtime/index.ts'
import { finish, type GenerateOptions, loadStableDiffusion, type StableDiffusion } from '../index.ts'

const folder = fileURLToPath(new URL('../../../parity/fixtures/stable-diffusion', import.meta.url))
const open = (name: string, options = {}) => loadStableDiffusion(`${folder}/${name}`, { threads: 1, ...options })
const made = (model: StableDiffusion, options: Partial<GenerateOptions>) =>
  finish(model.generate({ prompt: 'a fox', steps: 3, ...options }))

describe('runs of one model that overlap give the pictures that each gives alone', () => {
  test.each([{}, { cache: { kind: 'deep', interval: 2 } as const }])('%j', { timeout: 120_000 }, async (options) => {
    const model = await open('sd1', options)
    const [a, b] = [{ seed: 1 }, { seed: 2, prompt: 'two hens', width: 48, height: 32 }]
    const alone = [await made(model, a), await made(model, b)]
    const together = await Promise.all([made(model, a), made(model, b)])
    await model.release()
    for (const [i, one] of together.entries()) expect(maxDifference(one, alone[i] as NdArray)).toBe(0)
  })

  test('and one that is begun and left does not stop the other', { timeout: 120_000 }, async () => {
    const model = await open('sd1')
    const left = model.generate({ prompt: 'a fox', steps: 3 })
    await left.next()
    expect((await made(model, {})).allFinite()).toBe(true)
    await left.next()
    await model.release()
  })
})

test('prompts of XL in different numbers of chunks are filled with empty ones', { timeout: 120_000 }, async () => {
  const model = await open('xl')
  const long = Array(40).fill('a hen and').join(' ')
  const run = (options: Partial<GenerateOptions>) => made(model, { steps: 2, negative: 'blurry', ...options })
  const found = await run({ prompt: 'a fox', prompt2: long })
  expect(maxDifference(found, await run({ prompt: 'a fox BREAK BREAK', prompt2: long }))).toBe(0)
  const other = await run({ prompt: long, negative2: 'b' })
  expect(maxDifference(other, await run({ prompt: long, negative: 'blurry BREAK BREAK', negative2: 'b BREAK BREAK' }))).toBe(0)
  await model.release()
})

describe('what does nothing, or is no picture, is refused before anything runs', () => {
  let sd1: StableDiffusion
  let picture: NdArray
  beforeAll(async () => {
    sd1 = await open('sd1')
    picture = await decodeImage(`${folder}/inputs/picture.png`)
  })
  afterAll(() => sd1.release())

  const idle: [Partial<GenerateOptions>, RegExp][] = [
    [{ denoisingStart: 0.5 }, /denoisingStart \(a picture or latents to start from\)/],
    [{ strength: 0.5 }, /strength \(a picture to start from\)/],
    [{ originalSize: [64, 64] }, /originalSize \(XL\)/],
    [{ prompt2: 'a hen' }, /prompt2 \(XL\)/],
    [{ noiseLevel: 20 }, /noiseLevel \(the ×4 upscaler\)/],
    [{ maskBlur: 4 }, /maskBlur \(a mask\)/],
    [{ guess: true }, /guess \(a ControlNet\)/],
    [{ eta: 0.5 }, /eta \(the scheduler ddim or tcd\)/],
    [{ aesthetic: 7 }, /aesthetic \(XL's refiner\)/],
    [{ imageGuidance: 2 }, /imageGuidance \(an InstructPix2Pix model\)/],
  ]
  test.each(idle)('%j', (options, message) => {
    expect(() => sd1.plan({ prompt: 'a fox', ...options })).toThrow(ArgumentError)
    expect(() => sd1.plan({ prompt: 'a fox', ...options })).toThrow(message)
  })

  test('at their defaults they are taken, and where they do something', () => {
    sd1.plan({ prompt: 'a fox', maskBlur: 0, eta: 0, guess: false })
    sd1.plan({ prompt: 'a fox', eta: 0.5, scheduler: 'ddim' })
    sd1.plan({ prompt: 'a fox', image: picture, strength: 0.5 })
    expect(() => sd1.plan({ prompt: 'a fox', image: picture, strength: 0.5, depth: picture })).toThrow(
      /depth \(the depth model\)/,
    )
  })

  test('a picture of levels', async () => {
    const levels = picture.cast('f32').add(1).mul(127.5)
    await expect(made(sd1, { image: levels })).rejects.toThrow(/a picture has values in \[−1, 1\]/)
  })

  test('latents of another number; one for all is the same as one each', { timeout: 120_000 }, async () => {
    const latents = new Generator(3).randn([1, 4, 16, 16])
    await expect(made(sd1, { latents: NdArray.concat([latents, latents]), num: 3 })).rejects.toThrow(
      /latents: expected \[1 or 3, C, h, w\] for 3 pictures, got \[2, 4, 16, 16\]/,
    )
    const both = await made(sd1, { latents, num: 2 })
    const each = await made(sd1, { latents: NdArray.concat([latents, latents]), num: 2 })
    expect(maxDifference(both, each)).toBe(0)
  })
})
