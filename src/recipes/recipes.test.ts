import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { maxDifference } from '../../tests/fixture.ts'
import { ArgumentError } from '../core/errors.ts'
import { encodePng } from '../images/index.ts'
import { finish, loadClassifier, loadDdpm } from '../pipelines/index.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import { Generator } from '../runtime/random.ts'
import { runTraining } from '../training/run.ts'
import { stepsWithin } from './evaluation/options.ts'
import { kinds, openRecipe, prepare, recipeJson, recipes } from './index.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-recipes-'))
afterAll(() => rmSync(desk, { recursive: true }))
beforeAll(async () => {
  mkdirSync(join(desk, 'pictures'))
  writeFileSync(join(desk, 'pictures', 'noise.png'), await encodePng(new Generator(0).randn([3, 20, 20])))
})

const ddpm = {
  recipe: 'ddpm',
  data: { kind: 'folder', train_data_dir: join(desk, 'pictures') },
  resolution: 8,
  unet: {
    block_out_channels: [8, 16],
    layers_per_block: 1,
    norm_num_groups: 4,
    down_block_types: ['DownBlock2D', 'DownBlock2D'],
    up_block_types: ['UpBlock2D', 'UpBlock2D'],
    attention_head_dim: null,
  },
  training: { train_batch_size: 2, max_train_steps: 3, validation_steps: 3, lr_warmup_steps: 1 },
}
const stickers = { kind: 'stickers', styles: ['flat'], categories: ['Food & Drink'] }
const classifier = {
  recipe: 'classifier',
  data: stickers,
  resolution: 16,
  network: { block_out_channels: [8, 16], norm_num_groups: 4 },
  heads: ['ground'],
  training: { train_batch_size: 24, max_train_steps: 40, learning_rate: 0.02, lr_warmup_steps: 5, ema_decay: 0 },
}

function file(content: unknown): string {
  const path = join(desk, 'recipe.json')
  writeFileSync(path, JSON.stringify(content))
  return path
}
const faults = (content: unknown): string => {
  try {
    openRecipe(file(content))
  } catch (error) {
    expect(error).toBeInstanceOf(ArgumentError)
    return (error as Error).message
  }
  throw new Error('no fault was found')
}

describe('a recipe', () => {
  test.each(Object.entries(recipes))('%s, written as a file, is the same recipe', (_, recipe) => {
    const path = file(recipeJson(recipe, recipe.training))
    const again = openRecipe(path)
    expect([again.kind, again.config, again.training]).toEqual([recipe.kind, recipe.config, recipe.training])
  })

  test('is found by its name or in a file, else the names are told', () => {
    expect(openRecipe('ddpm-stickers-32').kind).toBe('ddpm')
    expect(() => openRecipe('toString')).toThrow('recipes: ddpm-stickers-32')
    expect(() => openRecipe(join(desk, 'none.json'))).toThrow('none.json: ENOENT, there is no such file')
    expect(faults([])).toContain('recipe is missing; expected one of ddpm, score, classifier')
    expect(faults({ ...ddpm, recipe: 'gan' })).toContain('recipe is "gan"')
  })

  test('is refused with every fault', () => {
    const message = faults({ ...ddpm, unets: {}, resolution: 0, training: { steps: 1, seed: 0.5 } })
    for (const place of ['resolution:', 'training.seed:', '"steps"', '"unets"']) expect(message).toContain(place)
    expect(faults({ ...classifier, data: { ...stickers, categories: ['Flags'] } })).toContain('data.categories.0')
    expect(faults({ ...classifier, data: { ...stickers, scale: [0.9, 0.8] } })).toContain('data.scale: must be 0 < least')
  })

  test("has the caller's flags before its own, and those before its type's", async () => {
    const { config } = await prepare(openRecipe(file(classifier)), { seed: 3, learning_rate: 0.5 })
    const kind = kinds.find(({ name }) => name === 'classifier')
    expect(kind?.training.adam_weight_decay).toBe(0.05)
    expect(config).toMatchObject({ seed: 3, learning_rate: 0.5, train_batch_size: 24, adam_weight_decay: 0.05, adam_beta1: 0.9 })
  })
})

test('a DDPM learns from a folder, and its own folder samples', { timeout: 120_000 }, async () => {
  const { job, config } = await prepare(openRecipe(file(ddpm)))
  const dir = join(desk, 'ddpm')
  const step = await runTraining(job, config, { dir, stream: { write: () => {} } })
  expect(step).toBe(3)
  const model = await loadDdpm(join(dir, 'model'))
  const pictures = await finish(model.sample({ scheduler: 'ddim', steps: 2 }))
  await model.release()
  expect(pictures.shape).toEqual([1, 3, 8, 8])
  expect(readFileSync(join(dir, 'samples', 'step-3.png')).length).toBeGreaterThan(1000)
  expect(JSON.parse(readFileSync(join(dir, 'environment.json'), 'utf8')).node).toBe(process.version)

  // What the run keeps is a recipe that gives the same run.
  const again = await prepare(openRecipe(join(dir, 'model', 'recipe.json')))
  expect(again.config).toEqual(config)
  const losses = readFileSync(join(dir, 'log.csv'), 'utf8').split('\n').slice(1, 4)
  await runTraining(again.job, { ...again.config, max_train_steps: 1 }, { dir: join(desk, 'again'), stream: { write: () => {} } })
  const first = readFileSync(join(desk, 'again', 'log.csv'), 'utf8').split('\n')[1]
  expect(first?.split(',')[1]).toBe(losses[0]?.split(',')[1])
})

test('a schedule with fewer timesteps than previews have steps trains to its model', async () => {
  const few = { ...ddpm, scheduler: { num_train_timesteps: 7 }, training: { ...ddpm.training, max_train_steps: 1 } }
  const { job, config } = await prepare(openRecipe(file(few)))
  const dir = join(desk, 'few')
  await runTraining(job, config, { dir, stream: { write: () => {} } })
  expect(readFileSync(join(dir, 'samples', 'step-1.png')).length).toBeGreaterThan(1000)
  expect([50, 5].map((usual) => stepsWithin(join(dir, 'model'), usual))).toEqual([7, 5])
  expect(stepsWithin(desk, 50)).toBe(50)
})

test('a classifier learns the grounds of stickers, and its folder classifies', async () => {
  const { job, config } = await prepare(openRecipe(file(classifier)))
  const dir = join(desk, 'classifier')
  await runTraining(job, config, { dir, stream: { write: () => {} } })
  const [header, ...rows] = readFileSync(join(dir, 'log.csv'), 'utf8').trim().split('\n')
  const at = header?.split(',').indexOf('ground_accuracy') as number
  const accuracy = rows.slice(-10).map((row) => Number(row.split(',')[at]))
  // Of twelve: chance would be 0.083.
  expect(accuracy.reduce((a, b) => a + b) / accuracy.length).toBeGreaterThan(0.3)

  const model = loadClassifier(join(dir, 'model'))
  const { images, ground } = (await job.task.batch(new Generator(7), 1)) as { images: NdArray<'f32'>; ground: NdArray }
  const whole = await model.classify(images)
  const apart = await model.classify(images, { batch: 7 })
  await model.release()
  expect(whole.features.shape).toEqual([24, 16])
  expect(maxDifference(whole.features, apart.features)).toBeLessThan(1e-5)
  const logits = (whole.logits.ground as NdArray).toNested() as number[][]
  const right = logits.filter((row, i) => row.indexOf(Math.max(...row)) === Number(ground.data[i]))
  expect(right.length).toBeGreaterThan(8)
})
