import { expect, test } from 'vitest'
import { maxDifference } from '../../../tests/fixture.ts'
import { loadPipeline, modelFolder } from '../../pipelines/index.ts'
import { measuredAs } from './measured-as.ts'
import { openCaptionSampler } from './sampler.ts'

const options = { steps: 2, guidance: 2, seed: 3 }
const captions = ['a cat on blue', 'two stars on red']

test('captions in batches give the pictures that they give one by one through the model’s pipeline', {
  timeout: 120_000,
}, async () => {
  const batches = await openCaptionSampler(modelFolder('stickers-t2i'), { batch: 2, threads: 1 })
  const both = await batches.generate(captions, options)
  expect(batches.autoencoder?.size).toBe(64)
  await batches.release()
  const pipeline = await loadPipeline('stickers-t2i', { threads: 1 })
  for (const [i, prompt] of captions.entries()) {
    const run = pipeline.generate({ ...options, prompt, seed: options.seed + i, syntax: 'plain' })
    let next = await run.next()
    while (!next.done) next = await run.next()
    if (next.value.type !== 'pictures') throw new Error(next.value.type)
    expect(maxDifference(next.value.pictures, both.slice(0, i, i + 1)), prompt).toBeLessThan(1e-4)
  }
  await pipeline.release()
})

test('a model’s name, which no batch sampler opens, goes through its pipeline', { timeout: 120_000 }, async () => {
  const one = await openCaptionSampler('stickers-t2i', { threads: 1 })
  expect(one.autoencoder).toBeUndefined()
  expect((await one.generate(captions.slice(0, 1), options)).shape).toEqual([1, 3, 64, 64])
  await one.release()
})

test('a model that takes no text is refused', async () => {
  await expect(openCaptionSampler('ddpm-stickers-32', {})).rejects.toThrow('makes no pictures from text')
})

test.each([
  ['stickers-t2i', 'text-to-image'],
  ['stickers-vae', 'part'],
  ['stickers-clip', 'part'],
  ['stickers-judge', 'part'],
  ['sticker-classifier-32', 'classifier'],
  ['ddpm-stickers-32', 'pictures'],
  ['score-stickers-32', 'pictures'],
  ['owner/any-model', 'text-to-image'],
])('%s is measured as %s', (model, as) => {
  expect(measuredAs(model).as).toBe(as)
})
