import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { maxDifference } from '../../../../tests/fixture.ts'
import { finish, loadPipeline } from '../../../pipelines/index.ts'
import { toldOf } from '../../../pipelines/sr3/page.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { Generator } from '../../../runtime/random.ts'
import { runTraining } from '../../../training/run.ts'
import { parseRecipe, prepare } from '../../index.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-sr3-'))
process.env.LANGEVIN_CACHE = join(desk, 'cache')
afterAll(() => rmSync(desk, { recursive: true }))

const recipe = {
  recipe: 'sr3',
  data: { kind: 'scenes', styles: ['noto'], nouns: ['fox', 'star', 'donut'], sizes: 'large' },
  resolution: 16,
  scale: 2,
  crop: 8,
  pool: 16,
  unet: {
    block_out_channels: [8, 8],
    layers_per_block: 1,
    norm_num_groups: 4,
    down_block_types: ['DownBlock2D', 'DownBlock2D'],
    up_block_types: ['UpBlock2D', 'UpBlock2D'],
  },
  training: {
    train_batch_size: 8,
    max_train_steps: 24,
    validation_steps: 24,
    learning_rate: 3e-3,
    lr_warmup_steps: 2,
    threads: 1,
    ema_decay: 0,
  },
}

test('SR3 learns on parts of pictures, and its folder enlarges whole ones on any schedule', { timeout: 120_000 }, async () => {
  const { job, config } = await prepare(parseRecipe(recipe, 'sr3'))
  await runTraining(job, config, { dir: desk, stream: { write: () => {} } })
  const losses = readFileSync(join(desk, 'log.csv'), 'utf8')
    .trim()
    .split('\n')
    .slice(1)
    .map((row) => Number(row.split(',')[1]))
  const mean = (from: number, to: number) => losses.slice(from, to).reduce((a, b) => a + b, 0) / (to - from)
  expect(mean(18, 24)).toBeLessThan(mean(0, 4))
  expect(readFileSync(join(desk, 'samples', 'step-24.png')).length).toBeGreaterThan(100)

  const pipeline = await loadPipeline(join(desk, 'model'), { threads: 1 })
  const image = new Generator(0).randn([3, 6, 8]).mul(0.3)
  const made = async (options: object) => {
    const result = await finish(pipeline.generate({ image, steps: 4, seed: 1, ...options }))
    return (result as { pictures: NdArray<'f32'> }).pictures
  }
  const first = await made({})
  expect([first.shape, first.allFinite()]).toEqual([[1, 3, 12, 16], true])
  expect(maxDifference(await made({}), first)).toBe(0)
  const other = { _class_name: 'DDIMScheduler', num_train_timesteps: 1000, beta_start: 1e-4, beta_end: 0.02 }
  expect(maxDifference(await made({ scheduler: other }), first)).toBeGreaterThan(1e-3)
  await expect(made({ image: NdArray.zeros([3, 5, 8]) })).resolves.toBeDefined()
  await pipeline.release()
})

test('the network is told the share of signal, whatever form the state has', () => {
  expect(toldOf({ alpha: 0.6, sigma: 0.8 })).toBeCloseTo(600, 9)
  // x0 + σε with σ = 4/3 has the same ratio.
  expect(toldOf({ alpha: 1, sigma: 4 / 3 })).toBeCloseTo(600, 9)
})

test('sizes that do not go together are refused', async () => {
  const job = (more: object) => prepare(parseRecipe({ ...recipe, ...more }, 'wrong'))
  await expect(job({ scale: 3 })).rejects.toThrow('resolution: 16 is no multiple of the scale, 3')
  await expect(job({ crop: 9 })).rejects.toThrow('crop: 9 must be a multiple of 2')
})
