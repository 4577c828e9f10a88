import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { ifCases, ifCheckpoint, ifGiven, ifOptions, ifPictures } from '../../../tests/deepfloyd-if.ts'
import { maxDifference } from '../../../tests/fixture.ts'
import { imagesOf, toPixels, toTensor } from '../../images/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { finish, loadPipeline, type Pipeline, type Result, type T5TextEncoder, t5Encoder, t5TextEncoder } from '../index.ts'
import { openSource } from '../open/open.ts'

const levels = (result: Result): NdArray[] => {
  if (result.type !== 'pictures') throw new Error(`no pictures but ${result.type}`)
  return imagesOf(result.pictures).map((image) => toPixels(image))
}
const scratch = mkdtempSync(join(tmpdir(), 'langevin-deepfloyd-if-'))
const opened = new Map<string, Promise<Pipeline>>()
afterAll(async () => {
  for (const pipeline of opened.values()) await (await pipeline).release()
  rmSync(scratch, { recursive: true })
})
function pipelineOf(checkpoint: string): Promise<Pipeline> {
  const known = opened.get(checkpoint) ?? loadPipeline(ifCheckpoint(checkpoint, scratch), { threads: 1 })
  opened.set(checkpoint, known)
  return known
}

test.each(ifCases.map((one) => [one.name, one] as const))(
  'the pictures of diffusers: %s',
  { timeout: 60_000 },
  async (_, one) => {
    const pipeline = await pipelineOf(one.checkpoint)
    const options = ifOptions(one)
    expect(pipeline.plan(options).className).toBe(one.class)
    const seen: number[] = []
    const made = levels(await finish(pipeline.generate(options), ({ done, total }) => seen.push(done / total)))
    expect(seen.at(-1)).toBe(1)
    expect(made.length).toBe(one.expected.length)
    for (const [k, picture] of made.entries())
      expect(maxDifference(picture, ifPictures.tensors.get(one.expected[k] as string) as NdArray)).toBeLessThanOrEqual(1)
  },
)

test('a later stage without a text encoder takes the states of an earlier one', { timeout: 60_000 }, async () => {
  const dir = ifCheckpoint('two', mkdtempSync(join(scratch, 'bare-')))
  const index = join(dir, 'model_index.json')
  writeFileSync(index, JSON.stringify({ ...JSON.parse(readFileSync(index, 'utf8')), text_encoder: [null, null] }))
  rmSync(join(dir, 'text_encoder'), { recursive: true })
  const source = await openSource(dir.replace(/bare-[^/]*\//, ''))
  const encoder = t5Encoder(t5TextEncoder('tokenizer').open(source, 'text_encoder', {}) as T5TextEncoder, { threads: 1 })
  const read = async (text: string) => (await encoder.encode(text, { length: 77, masked: true })).states
  const [promptEmbeds, negativePromptEmbeds] = [await read('two frogs'), await read('')]
  await encoder.release()
  const bare = await loadPipeline(dir, { threads: 1, keep: false })
  const options = { image: toTensor(ifGiven('small')), steps: 2, seed: 1 }
  const told = levels(await finish(bare.generate({ ...options, prompt: '', promptEmbeds, negativePromptEmbeds })))
  const whole = await pipelineOf('two')
  const read2 = levels(await finish(whole.generate({ ...options, prompt: 'two frogs' })))
  expect(maxDifference(told[0] as NdArray, read2[0] as NdArray)).toBe(0)
  await expect(finish(bare.generate({ ...options, prompt: 'two frogs' }))).rejects.toThrow(
    'has no text encoder: give promptEmbeds',
  )
  await expect(
    finish(bare.generate({ ...options, prompt: '', promptEmbeds, negativePromptEmbeds: NdArray.zeros([1, 5, 16]) })),
  ).rejects.toThrow('5 tokens, and promptEmbeds 77')
  await expect(finish(bare.generate({ ...options, prompt: '', promptEmbeds: NdArray.zeros([1, 77, 4]) }))).rejects.toThrow(
    'promptEmbeds: expected [1, tokens, 16], got [1, 77, 4]',
  )
  await bare.release()
})

test('what does not fit is refused before anything runs', async () => {
  const [one, two] = [await pipelineOf('one'), await pipelineOf('two')]
  const [wide, small] = [toTensor(ifGiven('wide')), toTensor(ifGiven('small'))]
  const faults = [
    [one, { mask: wide }, 'mask: it belongs to a picture: give image too'],
    [one, { strength: 0.5 }, 'strength: IFPipeline of'],
    [one, { image: wide, width: 32 }, 'the size is that of image'],
    [one, { width: 15 }, 'width: 15 is no multiple of 2'],
    [one, { steps: 2, timesteps: [2, 1] }, 'steps and timesteps'],
    [one, { eta: 0.5 }, 'eta: IFPipeline'],
    [one, { scheduler: 'pndm', timesteps: [9] }, 'does not take timesteps'],
    [one, { image: wide, strength: 0 }, 'leaves no step'],
    [one, { original: wide }, 'original: no option here'],
    [two, { image: small, noiseLevel: 1000 }, 'noiseLevel: 1000 is none of the levels 0 … 999'],
    [two, { image: small, strength: 0.5 }, 'give original'],
    [two, {}, 'image'],
  ] as const
  for (const [pipeline, options, message] of faults)
    expect(() => pipeline.plan({ prompt: 'a fox', ...options }), message).toThrow(message)
  const run = one.generate({ prompt: 'a fox', image: wide, mask: small, steps: 2 })
  await expect(run.next()).rejects.toThrow('mask: it comes to 16 × 16 pixels, and its picture to 24 × 16')
  const image = NdArray.zeros([3, 4]) as NdArray
  await expect(two.generate({ prompt: 'a fox', image, steps: 2 }).next()).rejects.toThrow('image: expected [3, H, W]')
})
