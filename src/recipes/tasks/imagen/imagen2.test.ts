import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { maxDifference } from '../../../../tests/fixture.ts'
import { main } from '../../../cli/program.ts'
import { savePng } from '../../../images/index.ts'
import { finish, loadPipeline } from '../../../pipelines/index.ts'
import type { NdArray } from '../../../runtime/ndarray.ts'
import { Generator } from '../../../runtime/random.ts'
import { runTraining } from '../../../training/run.ts'
import { parseRecipe, prepare } from '../../index.ts'
import { withoutWord } from './references.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-imagen2-'))
process.env.LANGEVIN_CACHE = join(desk, 'cache')
afterAll(() => rmSync(desk, { recursive: true }))

const recipe = {
  recipe: 'imagen',
  data: { kind: 'scenes', styles: ['noto', 'flat'], nouns: ['fox', 'star', 'donut'], sizes: 'large' },
  resolution: 8,
  text: fileURLToPath(new URL('../../../../parity/fixtures/transformers/pixart-sigma', import.meta.url)),
  tokens: 48,
  pool: 32,
  references: {
    ...{ image_size: 16, patch_size: 8, hidden_size: 16, num_layers: 1, num_attention_heads: 2, subject_share: 0.5 },
    text_share: 0.5,
  },
  unet: {
    ...{ block_out_channels: [8, 16], layers_per_block: 1, norm_num_groups: 4, attention_head_dim: 8 },
    ...{ cross_attention_dim: 32, addition_embed_type_num_heads: 2 },
  },
  training: {
    ...{ train_batch_size: 6, max_train_steps: 6, learning_rate: 1e-2, lr_warmup_steps: 1, threads: 1, ema_decay: 0 },
    ...{ validation_steps: 100 },
  },
}

test('prompts that mix text and pictures: trained, opened, and asked through the command line', {
  timeout: 240_000,
}, async () => {
  const { job, config } = await prepare(parseRecipe(recipe, 'imagen2'))
  const feeds = await job.task.batch(new Generator(1), 1)
  // Some prompts are words alone, and some are left out.
  const more = await Promise.all([2, 3, 4].map((seed) => job.task.batch(new Generator(seed), 1)))
  expect(new Set(more.flatMap(({ referenceTold }) => [...(referenceTold?.data ?? [])]))).toEqual(new Set([0, 1]))
  expect([feeds.reference?.shape, feeds.referenceTold?.shape]).toEqual([
    [6, 1, 3, 16, 16],
    [6, 1, 1],
  ])
  await runTraining(job, config, { dir: join(desk, 'run'), stream: { write: () => {} } })
  const model = join(desk, 'run', 'model')
  expect(JSON.parse(readFileSync(join(model, 'model_index.json'), 'utf8'))).toMatchObject({
    _class_name: 'Imagen2Pipeline',
    reference_encoder: ['langevin', 'ReferenceEncoder'],
  })

  // What a run has made is gone on from whole, and a stage of words alone without its encoder of pictures.
  const start = async (folder: string) =>
    (await prepare(parseRecipe({ ...recipe, pretrained: folder }, 'more'))).job.task.start as ReadonlyMap<string, NdArray>
  const whole = await start(model)
  expect([whole.size, whole.has('references.proj.weight')]).toEqual([job.task.params.tensors.size, true])
  const words = join(desk, 'words')
  cpSync(model, words, { recursive: true })
  rmSync(join(words, 'reference_encoder'), { recursive: true })
  const some = await start(words)
  expect(some.size).toBeGreaterThan(20)
  expect([...some.keys()].some((key) => key.startsWith('references.'))).toBe(false)

  const pipeline = await loadPipeline(model, { threads: 1 })
  const [a, b] = [new Generator(1), new Generator(2)].map((one) => one.randn([3, 20, 12]).mul(0.5)) as [NdArray, NdArray]
  const made = async (prompt: string, references: readonly NdArray[]) => {
    const found = await finish(pipeline.generate({ prompt, references, steps: 2, guidance: 2, seed: 1 }))
    return (found as { pictures: NdArray }).pictures
  }
  const prompt = 'a fox in the style of [ref#1]'
  const first = await made(prompt, [a])
  expect(first.allFinite()).toBe(true)
  expect(maxDifference(await made(prompt, [a]), first)).toBe(0)
  // Another picture, or other words, and it is another picture.
  expect(maxDifference(await made(prompt, [b]), first)).toBeGreaterThan(1e-5)
  expect(maxDifference(await made('a star in the style of [ref#1]', [a]), first)).toBeGreaterThan(1e-5)
  expect(maxDifference(await made('a fox', []), first)).toBeGreaterThan(1e-5)
  expect(() => pipeline.plan({ prompt: 'a [ref#2]', references: [a] })).toThrow('it names [ref#2], and 1 pictures are given')
  expect(() => pipeline.plan({ prompt: 'a fox', references: [a] })).toThrow('write [ref#1] where it is meant')
  await pipeline.release()

  const [file, out] = [join(desk, 'a.png'), join(desk, 'out.png')]
  await savePng(file, a as never)
  const sink = { write: () => true }
  const flags = ['--model', model, '--reference', file, '--steps', '2', '--threads', '1', '--no-draw', '--out', out]
  expect(await main(['generate', prompt, ...flags], { out: sink, err: sink })).toBe(0)
  expect(readFileSync(out).toString('latin1')).toContain('References: a.png')
})

test('an object of a caption gives way to a picture, once', () => {
  expect(withoutWord('a small fox left of two donuts, flat style', ['fox'])).toBe(
    'a small [ref#1] left of two donuts, flat style',
  )
  expect(withoutWord('an apple on a blue background', ['red apple', 'apple'])).toBe('a [ref#1] on a blue background')
  expect(withoutWord('two foxes', ['fox'])).toBeUndefined()
})

test('references are for a first stage', async () => {
  const wrong = { ...recipe, resolution: 16, low_resolution: 8 }
  await expect(prepare(parseRecipe(wrong, 'wrong'))).rejects.toThrow('only a first stage takes pictures')
})
