import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { maxDifference } from '../../../../tests/fixture.ts'
import { openWeights } from '../../../checkpoints/index.ts'
import { finish, loadCascade, loadPipeline } from '../../../pipelines/index.ts'
import type { NdArray } from '../../../runtime/ndarray.ts'
import { Generator } from '../../../runtime/random.ts'
import { runTraining } from '../../../training/run.ts'
import { parseRecipe, prepare } from '../../index.ts'
import { inMemory } from '../../stored.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-imagen-'))
process.env.LANGEVIN_CACHE = join(desk, 'cache')
afterAll(() => rmSync(desk, { recursive: true }))
const text = fileURLToPath(new URL('../../../../parity/fixtures/transformers/pixart-sigma', import.meta.url))

const network = { block_out_channels: [8, 16], layers_per_block: 1, norm_num_groups: 4, attention_head_dim: 8 }
const training = {
  train_batch_size: 8,
  learning_rate: 3e-3,
  lr_warmup_steps: 2,
  threads: 1,
  ema_decay: 0,
  seed: 1,
  lr_scheduler: 'constant',
}
const base = {
  recipe: 'imagen',
  data: { kind: 'scenes', styles: ['noto'], nouns: ['fox', 'star', 'donut'], sizes: 'large' },
  resolution: 8,
  text,
  tokens: 40,
  pool: 16,
  validation_prompts: ['a fox', 'a star'],
  unet: { ...network, cross_attention_dim: 32, addition_embed_type_num_heads: 2 },
  training: { ...training, max_train_steps: 24, validation_steps: 24, checkpointing_steps: 12 },
}
const second = {
  ...base,
  resolution: 16,
  low_resolution: 8,
  crop: 8,
  unet: { _class_name: 'EfficientUNet', ...network, attention: ['none', 'text'], addition_embed_type_num_heads: 2 },
  training: { ...training, max_train_steps: 4, validation_steps: 4 },
}

async function trained(name: string, recipe: object) {
  const { job, config } = await prepare(parseRecipe(recipe, name))
  const dir = join(desk, name)
  await runTraining(job, config, { dir, stream: { write: () => {} } })
  const rows = readFileSync(join(dir, 'log.csv'), 'utf8').trim().split('\n').slice(1)
  return { dir, model: join(dir, 'model'), losses: rows.map((row) => Number(row.split(',')[1])) }
}
const index = (model: string) => JSON.parse(readFileSync(join(model, 'model_index.json'), 'utf8'))
const weightsIn = (model: string) => inMemory(openWeights(join(model, 'unet')))

test('a first stage learns, goes on where it stopped as if it had not, and a second one enlarges what it makes in one cascade', {
  timeout: 240_000,
}, async () => {
  const { dir, model, losses } = await trained('base', base)
  const mean = (from: number, to: number) => losses.slice(from, to).reduce((a, b) => a + b, 0) / (to - from)
  expect(mean(18, 24)).toBeLessThan(mean(0, 4))
  expect(readFileSync(join(dir, 'samples', 'step-24.png')).length).toBeGreaterThan(100)
  expect(index(model)).toMatchObject({ _class_name: 'IFPipeline', max_length: 40, unet: ['diffusers', 'UNet2DConditionModel'] })

  await trained('halves', { ...base, training: { ...base.training, max_train_steps: 12 } })
  const resumed = await trained('halves', { ...base, training: { ...base.training, resume_from_checkpoint: 'latest' } })
  const [straight, again] = [weightsIn(model), weightsIn(resumed.model)]
  for (const [key, value] of straight) expect(maxDifference(again.get(key) as NdArray, value), key).toBe(0)

  const large = await trained('second', second)
  expect(index(large.model)._class_name).toBe('ImagenSuperResolutionPipeline')
  const load = { threads: 1 }
  const cascade = await loadCascade([
    { model, load, options: { steps: 3 } },
    { model: large.model, load, options: { steps: 2, noiseLevel: 100 } },
  ])
  const run = { prompt: 'a fox on blue', num: 2, seed: 3, guidance: 2 }
  const made = await finish(cascade.generate(run))
  if (made.type !== 'pictures') throw new Error(made.type)
  expect([made.pictures.shape, made.pictures.allFinite()]).toEqual([[2, 3, 16, 16], true])
  await cascade.release()
  // A picture alone is the second of two; other words are another picture.
  const alone = await loadPipeline(model, load)
  const one = async (prompt: string, seed: number) => {
    const found = await finish(alone.generate({ prompt, seed, steps: 3, guidance: 2 }))
    return (found as { pictures: NdArray }).pictures
  }
  expect(maxDifference(await one('a fox on blue', 3), await one('two stars', 3))).toBeGreaterThan(1e-4)
  await alone.release()
})

test('what a stage is fed: captions of which some are left out, parts of pictures at one place, levels of every kind', async () => {
  const job = async (more: object) => (await prepare(parseRecipe({ ...second, ...more }, 'feeds'))).job
  const feeds = async (more: object) => (await job(more)).task.batch(new Generator(3), 1)
  const noise = await feeds({})
  expect(Object.keys(noise).sort()).toEqual(['level', 'mask', 'small', 't', 'target', 'tokens', 'x'])
  expect([noise.x?.shape, noise.small?.shape, noise.tokens?.shape]).toEqual([
    [8, 3, 8, 8],
    [8, 3, 8, 8],
    [8, 40],
  ])
  for (const name of ['t', 'level']) for (const time of noise[name]?.data ?? []) expect(Number(time)).toBeGreaterThanOrEqual(0)
  expect(maxDifference((await feeds({})).x as NdArray, noise.x as NdArray)).toBe(0)
  const [clean, blur] = [
    await feeds({ augmentation: { kind: 'none' } }),
    await feeds({ augmentation: { kind: 'blur', share: 1 } }),
  ]
  expect([clean.level, blur.level]).toEqual([undefined, undefined])
  const empty = await feeds({ condition_dropout: 1 })
  const rows = [...(empty.tokens?.data ?? [])].map(Number)
  // The end of the text and padding.
  expect(rows.slice(0, 40)).toEqual([rows[0], ...Array(39).fill(0)])
  const half = await feeds({ augmentation: { kind: 'noise', most: 0.25 } })
  expect(Math.max(...[...(half.level?.data ?? [])].map(Number))).toBeLessThanOrEqual(250)
})

test('sizes that do not go together are refused', async () => {
  for (const [more, message] of [
    [{ low_resolution: 5 }, 'low_resolution: 16 must be a multiple'],
    [{ crop: 7 }, 'crop: 7 must be a multiple of the scale, 2'],
    [{ low_resolution: undefined, crop: 8 }, 'crop: the first stage makes whole pictures'],
    [{ text: join(desk, 'nothing') }, 'is needed first'],
  ] as const)
    await expect(prepare(parseRecipe({ ...second, ...more }, 'wrong'))).rejects.toThrow(message)
})
