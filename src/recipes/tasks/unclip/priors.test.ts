import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { maxDifference } from '../../../../tests/fixture.ts'
import { finish, loadPipeline } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { runTraining } from '../../../training/run.ts'
import { scenesSchema } from '../../data.ts'
import { measurePrior } from '../../evaluation/priors.ts'
import { parseRecipe, prepare, recipes } from '../../index.ts'
import { clipFolder } from './clip.fixture.ts'
import { embeddingQuality } from './prior-quality.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-unclip-prior-'))
process.env.LANGEVIN_CACHE = join(desk, 'cache')
afterAll(() => rmSync(desk, { recursive: true }))

const recipe = {
  data: { kind: 'scenes', styles: ['noto'], nouns: ['fox', 'star', 'donut'], lattice: { cells: 4, sides: [3, 4] } },
  // Texts' states are wider than embeddings: zeros fill these.
  clip: clipFolder(desk, 20),
  pool: 16,
  prior: { num_layers: 1, num_attention_heads: 2, attention_head_dim: 8 },
  training: {
    learning_rate: 0.01,
    train_batch_size: 8,
    max_train_steps: 30,
    validation_steps: 30,
    lr_warmup_steps: 2,
    threads: 1,
    ema_decay: 0,
  },
}
async function trained(name: string, recipe: object) {
  const { job, config } = await prepare(parseRecipe(recipe, name))
  const dir = join(desk, name)
  await runTraining(job, config, { dir, stream: { write: () => {} } })
  const rows = readFileSync(join(dir, 'log.csv'), 'utf8').trim().split('\n')
  const measured = readFileSync(join(dir, 'validation.csv'), 'utf8')
  return { model: join(dir, 'model'), measured, losses: rows.slice(1).map((row) => Number(row.split(',')[1])) }
}
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length

test('a diffusion prior learns embeddings; its folder draws them', { timeout: 120_000 }, async () => {
  const { model, measured, losses } = await trained('prior', { recipe: 'unclip-prior', ...recipe })
  expect(mean(losses.slice(20))).toBeLessThan(mean(losses.slice(0, 3)) - 0.05)
  expect(measured).toMatch(/cos_prior/)
  const prior = await loadPipeline(model, { threads: 1 })
  expect(prior.className).toBe('KandinskyV22PriorPipeline')
  const made = await finish(prior.generate({ prompt: 'a fox', priorSteps: 3 }))
  if (made.type !== 'latents') throw new Error('no embeddings')
  expect([made.latents.shape, made.latents.allFinite()]).toEqual([[1, 2, 20], true])
  await prior.release()

  // Measured as langevin evaluate does.
  const scenes = scenesSchema.parse({ ...(recipes['stickers-t2i']?.config.data as object), styles: ['noto'] })
  const { num, rows } = await measurePrior(model, 2, scenes, { threads: 1 })
  expect([num, rows.length, rows.every(({ values }) => values.length === 2)]).toEqual([64, 5, true])
  for (const { unit, values } of rows.slice(0, 3))
    for (const value of values) expect([unit, Math.abs(value as number) <= 1]).toEqual(['', true])
})

test('an autoregressive prior learns their codes', { timeout: 120_000 }, async () => {
  const own = { ...recipe.prior, components: 4, buckets: 8, likeness_buckets: 4 }
  const { model, losses } = await trained('codes', { recipe: 'unclip-ar-prior', ...recipe, prior: own })
  // Below a guess of one of 8.
  expect(mean(losses.slice(20))).toBeLessThan(Math.min(Math.log(8), mean(losses.slice(0, 3)) - 0.05))
  const prior = await loadPipeline(model, { threads: 1 })
  const draw = async (prompt: string, seed: number) => {
    const made = await finish(prior.generate({ prompt, num: 2, seed }))
    if (made.type !== 'latents') throw new Error('no embeddings')
    return made.latents
  }
  const first = await draw('a fox', 1)
  expect([first.shape, first.allFinite()]).toEqual([[2, 20], true])
  // Codes stand for embeddings of the CLIP, whose last channels are zeros.
  expect(first.slice(1, 16).abs().max().item()).toBeLessThan(1e-6)
  // The second of two is the first of the next seed.
  expect(maxDifference((await draw('a fox', 2)).slice(0, 0, 1), first.slice(0, 1, 2))).toBe(0)
  await prior.release()
  rmSync(join(model, 'prior', 'codes.safetensors'))
  await expect(loadPipeline(model)).rejects.toThrow(/prior: has no codes.safetensors|prior has no codes.safetensors/)
})

test('embeddings beside the pictures’ own: cosine, and how often the own is nearest', () => {
  const eye = NdArray.from([1, 0, 0, 0, 1, 0, 0, 0, 1], [3, 3])
  expect(embeddingQuality(eye, eye)).toEqual({ cosine: 1, first: 1 })
  const turned = NdArray.concat([eye.slice(0, 1, 3), eye.slice(0, 0, 1)])
  expect(embeddingQuality(turned, eye)).toEqual({ cosine: 0, first: 0 })
})

test('a CLIP whose embeddings are wider than its texts is refused', async () => {
  const job = async () => (await prepare(parseRecipe({ recipe: 'unclip-prior', ...recipe, clip: clipFolder(desk, 12) }, 'x'))).job
  await expect(job()).rejects.toThrow(/states of 12 channels and embeddings of 16/)
})
