import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { maxDifference } from '../../../../tests/fixture.ts'
import { openSafetensors, readTensor } from '../../../checkpoints/index.ts'
import { sceneDataset } from '../../../data/index.ts'
import { finish, loadPipeline, loadTokenCoder } from '../../../pipelines/index.ts'
import type { NdArray } from '../../../runtime/ndarray.ts'
import { runTraining } from '../../../training/run.ts'
import { scenesSchema } from '../../data.ts'
import { partMeasures } from '../../evaluation/parts.ts'
import { measureTokens } from '../../evaluation/tokens.ts'
import { parseRecipe, prepare } from '../../index.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-dalle-'))
// Pools of tokens, which would take the places of the user's.
process.env.LANGEVIN_CACHE = join(desk, 'cache')
afterAll(() => rmSync(desk, { recursive: true }))

async function trained(name: string, recipe: object, training: object = {}) {
  const { job, config } = await prepare(parseRecipe(recipe, name), training)
  const dir = join(desk, name)
  await runTraining(job, config, { dir, stream: { write: () => {} } })
  const table = (file: string) => {
    const [heads, ...rows] = readFileSync(join(dir, file), 'utf8').trim().split('\n')
    const columns = heads?.split(',') as string[]
    return rows.map((row) => Object.fromEntries(row.split(',').map((cell, i) => [columns[i], Number(cell)])))
  }
  return { dir, model: join(dir, 'model'), log: table('log.csv'), validation: table('validation.csv') }
}

const data = { kind: 'scenes', styles: ['noto'] }
const flags = { train_batch_size: 4, lr_warmup_steps: 2, threads: 1, ema_decay: 0 }
const dvae = {
  recipe: 'discrete-autoencoder',
  data,
  resolution: 16,
  dvae: { n_hid: 8, n_init: 8, n_blk_per_group: 1, vocab_size: 16 },
  temperature: { steps: 200 },
  kl: { to: 1, steps: 10 },
  training: { ...flags, train_batch_size: 8, max_train_steps: 40, validation_steps: 40, learning_rate: 4e-3 },
}
const transformer = { dim: 16, depth: 2, heads: 2, dim_head: 8, text_seq_len: 20 }
const dalle = (folder: string) => ({
  recipe: 'dalle',
  data,
  resolution: 16,
  dvae: folder,
  transformer,
  pool: 20,
  validation_prompts: ['a fox', 'two cats on blue'],
  training: {
    ...flags,
    optimizer: 'adamw',
    max_train_steps: 8,
    validation_steps: 8,
    checkpointing_steps: 4,
    learning_rate: 1e-2,
  },
})

test('an autoencoder of tokens learns, then a transformer of captions and tokens, whose folder makes pictures', {
  timeout: 240_000,
}, async () => {
  const first = await trained('dvae', dvae)
  const mean = (rows: readonly Record<string, number>[], name: string) =>
    rows.reduce((sum, row) => sum + (row[name] as number), 0) / rows.length
  expect(mean(first.log.slice(-10), 'density')).toBeGreaterThan(mean(first.log.slice(0, 10), 'density') + 0.1)
  expect(first.validation[0]?.perplexity).toBeGreaterThanOrEqual(1)
  const coder = loadTokenCoder(first.model)
  const { images } = await (await sceneDataset({ size: 16, styles: ['noto'], seed: 3 })).batch([0, 1, 2])
  const tokens = await coder.encode(images)
  expect(tokens.shape).toEqual([3, 2, 2])
  expect((await coder.decode(tokens)).shape).toEqual([3, 3, 16, 16])
  await coder.release()

  const second = await trained('dalle', dalle(first.model))
  expect(mean(second.log.slice(-3), 'text')).toBeLessThan(mean(second.log.slice(0, 3), 'text'))
  expect(Object.keys(second.validation[0] ?? {})).toEqual(expect.arrayContaining(['bits', 'bits_shuffled', 'bits_untold']))
  expect(readFileSync(join(second.dir, 'samples', 'step-8.png')).length).toBeGreaterThan(100)
  const pipeline = await loadPipeline(second.model)
  expect([pipeline.className, pipeline.ranker]).toEqual(['DallePipeline', 'stickers-clip'])
  const result = await finish(pipeline.generate({ prompt: 'a fox on a blue background', num: 2 }))
  expect(result.type === 'pictures' && result.pictures.shape).toEqual([2, 3, 16, 16])
  await pipeline.release()

  const found = await measureTokens(second.model, 20, scenesSchema.parse(data), { threads: 1 })
  expect([found.captions, found.uniform]).toEqual([20, 4])
  for (const { mean, error } of [found.told, found.shuffled, found.untold]) {
    expect(mean).toBeGreaterThan(0)
    expect(mean).toBeLessThan(6)
    expect(error).toBeGreaterThan(0)
  }
  const measure = partMeasures['discrete-autoencoder'] as (typeof partMeasures)[string]
  const { rows } = await measure(first.model, 6, scenesSchema.parse(data), { threads: 1 })
  const [kept, , used, hard, ...relaxed] = rows.map(({ values }) => values[0] as number)
  expect(kept).toBeGreaterThan(5)
  expect(used).toBeGreaterThanOrEqual(1)
  // The bounds meet as the temperature falls.
  const gaps = relaxed.map((value) => Math.abs(value - (hard as number)))
  expect(gaps).toHaveLength(5)
  expect(gaps.at(-1)).toBeLessThan(0.02)
  expect(gaps[0]).toBeGreaterThan(gaps.at(-1) as number)

  // A run that was stopped half-way goes on to the same weights.
  await trained('dalle-stopped', dalle(first.model), { max_train_steps: 4 })
  const resumed = await trained('dalle-stopped', dalle(first.model))
  const weights = ({ model }: { readonly model: string }) =>
    openSafetensors(join(model, 'transformer', 'diffusion_pytorch_model.safetensors')).tensors
  const other = weights(second)
  for (const [key, value] of weights(resumed))
    expect(maxDifference(readTensor(value), readTensor(other.get(key) as NdArray)), key).toBe(0)
})
