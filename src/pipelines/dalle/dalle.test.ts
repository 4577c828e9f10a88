import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { errorOf, temporaryFolder } from '../../../tests/checkpoints.ts'
import { dallePrompts, dallePytorchFile, dalleReference, openAIClipFile, wholeEncoder } from '../../../tests/dalle.ts'
import { maxDifference, tensorOf } from '../../../tests/fixture.ts'
import { openWeightFile, PickleError, saveModel, writeModelIndex } from '../../checkpoints/index.ts'
import { finish } from '../../diffusion/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { loadPipeline, type Pipeline, type RunInput } from '../load.ts'
import type { Progress } from '../page.ts'
import { loadRanker, rankPictures } from '../ranking.ts'

const threads = 1

async function picturesOf(pipeline: Pipeline, options: RunInput, onStep?: (step: Progress) => void): Promise<NdArray<'f32'>> {
  const result = await finish(pipeline.generate(options), onStep)
  if (result.type !== 'pictures') throw new Error(result.type)
  return result.pictures
}

test.each([1, 3])('the likeliest tokens, and their pictures, are those of DALLE-pytorch at guidance %d', async (guidance) => {
  const pipeline = await loadPipeline(dallePytorchFile(), { threads })
  const expected = tensorOf(dalleReference, `sampled ${guidance}.pictures`)
  for (const [i, prompt] of dallePrompts.entries()) {
    const steps: Progress[] = []
    const made = await picturesOf(pipeline, { prompt, guidance, topK: 1 }, (step) => steps.push(step))
    expect(maxDifference(made.add(1).div(2), expected.slice(0, i, i + 1))).toBeLessThan(1e-4)
    const tokens = (dalleReference.tensors.get(`sampled ${guidance}.tokens`) as NdArray).row(i)
    expect(steps.at(-1)?.latents.data).toEqual(tokens.data)
    expect(steps.map(({ done, total }) => `${done}/${total}`)).toEqual(Array.from({ length: 16 }, (_, k) => `${k + 1}/16`))
    expect(steps[3]?.latents.shape).toEqual([1, 4])
    const preview = await steps[3]?.preview()
    expect(preview?.type === 'pictures' && preview.pictures.shape).toEqual([1, 3, 8, 8])
  }
  await pipeline.release()
})

test('each picture of a batch is the one of its own seed', async () => {
  const pipeline = await loadPipeline(dallePytorchFile(), { threads })
  const options = { prompt: 'cat, red cat', temperature: 2, topK: 6, guidance: 2 }
  const together = await picturesOf(pipeline, { ...options, seed: 7, num: 5 })
  expect(together.shape).toEqual([5, 3, 8, 8])
  expect(maxDifference(await picturesOf(pipeline, { ...options, seed: 10 }), together.slice(0, 3, 4))).toBeLessThan(1e-5)
  expect(maxDifference(together.slice(0, 0, 1), together.slice(0, 1, 2))).toBeGreaterThan(0.01)
  expect(pipeline.plan({ ...options, topK: 99 }).settings).toEqual({ 'CFG scale': 2, Temperature: 2, 'Top-k': 12 })
  await pipeline.release()
})

test('a run stops between two tokens', async () => {
  const pipeline = await loadPipeline(dallePytorchFile(), { threads })
  const stop = new AbortController()
  const run = picturesOf(
    pipeline,
    { prompt: 'a cat', signal: stop.signal },
    ({ done }) => done === 2 && stop.abort(new Error('enough')),
  )
  await expect(run).rejects.toThrow('enough')
  await pipeline.release()
})

test('a folder of the same network makes the same pictures; one that does not fit is refused', async () => {
  const file = dallePytorchFile()
  const { tensors, fields } = openWeightFile(file)
  const dir = join(temporaryFolder(), 'model')
  const own = (prefix: string) =>
    new Map([...tensors].filter(([key]) => key.startsWith(prefix)).map(([key, value]) => [key.slice(prefix.length), value]))
  const hparams = fields?.hparams as Record<string, unknown>
  const config = { ...hparams, num_image_tokens: 12, image_fmap_size: 4 }
  const write = (transformer: Record<string, unknown>) => {
    saveModel(
      join(dir, 'transformer'),
      { _class_name: 'DALLE', ...transformer },
      new Map([...tensors].filter(([key]) => !key.startsWith('vae.'))),
    )
    saveModel(join(dir, 'dvae'), { _class_name: 'DiscreteVAE', ...(fields?.vae_params as object) }, own('vae.'))
    cpSync(join(dirname(file), 'tokenizer'), join(dir, 'tokenizer'), { recursive: true })
    const component = (library: string, className: string) => ({ library, className })
    writeModelIndex(dir, {
      _class_name: 'DallePipeline',
      components: new Map([
        ['dvae', component('langevin', 'DiscreteVAE')],
        ['transformer', component('langevin', 'DALLE')],
        ['tokenizer', component('transformers', 'CLIPTokenizer')],
      ]),
      options: { ranker: 'stickers-clip' },
    })
  }
  write(config)
  const pipeline = await loadPipeline(dir, { threads })
  expect(pipeline.ranker).toBe('stickers-clip')
  const made = await picturesOf(pipeline, { prompt: dallePrompts[0], topK: 1 })
  expect(maxDifference(made.add(1).div(2), tensorOf(dalleReference, 'sampled 1.pictures').slice(0, 0, 1))).toBeLessThan(1e-4)
  await pipeline.release()

  writeFileSync(join(dir, 'transformer', 'config.json'), JSON.stringify({ ...config, _class_name: 'DALLE', depth: 2 }))
  await expect(loadPipeline(dir)).rejects.toThrow(/unexpected/)
  const index = join(dir, 'model_index.json')
  writeFileSync(index, JSON.stringify({ ...JSON.parse(readFileSync(index, 'utf8')), ranker: '/etc' }))
  writeFileSync(join(dir, 'transformer', 'config.json'), JSON.stringify({ ...config, _class_name: 'DALLE' }))
  const other = await loadPipeline(dir, { threads })
  expect(other.ranker).toBe(undefined)
  await other.release()
})

test('a network that was saved whole is refused, with what to do', () => {
  const error = errorOf(() => openWeightFile(wholeEncoder))
  expect(error).toBeInstanceOf(PickleError)
  expect((error as Error).message).toMatch(/a whole network, dall_e\.encoder\.Encoder.*if you trust.*state_dict\(\)/)
})

test("pictures are ranked as OpenAI's CLIP ranks them", async () => {
  const levels = dalleReference.tensors.get('clip.levels') as NdArray
  const expected = tensorOf(dalleReference, 'clip.cosines')
  const pictures = levels.cast('f32').div(127.5).sub(1)
  const ranker = await loadRanker(openAIClipFile(), { threads })
  for (const [i, prompt] of dallePrompts.entries()) {
    const { order, scores } = await rankPictures(ranker, prompt, pictures)
    const cosines = [...expected.slice(1, i, i + 1).data]
    expect(maxDifference(NdArray.from(scores), NdArray.from(cosines))).toBeLessThan(1e-4)
    expect(order).toEqual(cosines.map((_, k) => k).sort((a, b) => (cosines[b] as number) - (cosines[a] as number)))
  }
  await ranker.release()
})

test("the folder of a transformers' CLIP ranks too, and what is none is named", async () => {
  const ranker = await loadRanker('stickers-clip', { threads })
  expect(ranker.name).toBe('stickers-clip')
  const [flat = 0] = await ranker.score('a red fox', NdArray.full([1, 3, 40, 30], 0.25))
  expect(Math.abs(flat)).toBeLessThan(1)
  await ranker.release()
  const dir = temporaryFolder()
  mkdirSync(join(dir, 'alone'))
  cpSync(openAIClipFile(), join(dir, 'alone', 'clip.safetensors'))
  await expect(loadRanker(join(dir, 'alone', 'clip.safetensors'))).rejects.toThrow(
    "put CLIP's vocab.json and merges.txt beside it",
  )
  await expect(loadRanker(dallePytorchFile())).rejects.toThrow("expected OpenAI's keys visual.proj and text_projection")
})
