import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { maxDifference } from '../../tests/fixture.ts'
import { sceneDataset } from '../data/index.ts'
import { loadAutoencoder, loadClip } from '../pipelines/index.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { runTraining } from '../training/run.ts'
import { recallAt1 } from './clip.ts'
import { parseRecipe, prepare } from './index.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-text-to-image-'))
afterAll(() => rmSync(desk, { recursive: true }))

/** Trains a recipe in a folder of its own, and gives what its logs say: rows by column. */
async function trained(name: string, recipe: object) {
  const { job, config } = await prepare(parseRecipe(recipe, name))
  const dir = join(desk, name)
  await runTraining(job, config, { dir, stream: { write: () => {} } })
  const table = (file: string) => {
    const [heads, ...rows] = readFileSync(join(dir, file), 'utf8').trim().split('\n')
    const columns = heads?.split(',') as string[]
    return rows.map((row) =>
      Object.fromEntries(row.split(',').map((cell, i) => [columns[i], cell === '' ? undefined : Number(cell)])),
    )
  }
  return { dir, model: join(dir, 'model'), log: table('log.csv'), validation: table('validation.csv') }
}

const data = { kind: 'scenes', styles: ['noto'] }
const vae = {
  recipe: 'autoencoder',
  data,
  resolution: 16,
  vae: {
    block_out_channels: [8, 16],
    down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D'],
    up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D'],
    norm_num_groups: 4,
  },
  adversarial: { channels: 4, num_layers: 1, start: 26 },
  training: {
    train_batch_size: 4,
    max_train_steps: 28,
    validation_steps: 28,
    learning_rate: 5e-3,
    lr_warmup_steps: 2,
    threads: 1,
  },
}

test('an autoencoder learns scenes, the last steps against a discriminator, and its latents have the deviation 1', {
  timeout: 240_000,
}, async () => {
  const { model, dir, log, validation } = await trained('vae', vae)
  const psnr = (from: number, to: number) => log.slice(from, to).reduce((sum, row) => sum + (row.psnr as number), 0) / (to - from)
  expect(psnr(20, 25)).toBeGreaterThan(psnr(0, 5) + 0.7)
  expect(log.map(({ discriminator }) => discriminator !== undefined)).toEqual(log.map((_, i) => i >= 25))
  expect(validation).toHaveLength(1)
  expect(validation[0]?.psnr_icons).toBeGreaterThan(5)
  expect(readFileSync(join(dir, 'samples', 'step-28.png')).length).toBeGreaterThan(1000)

  const coder = loadAutoencoder(model)
  const { images } = await (await sceneDataset({ size: 16, styles: ['noto'], seed: 3 })).batch([...Array(128).keys()])
  const latents = await coder.encode(images)
  expect(latents.shape).toEqual([128, 4, 8, 8])
  expect(latents.mul(coder.config.scaling_factor).std().item()).toBeCloseTo(1, 1)
  expect((await coder.decode(latents)).shape).toEqual([128, 3, 16, 16])
  await coder.release()
})

const layers = { num_hidden_layers: 1, hidden_size: 32, intermediate_size: 64, num_attention_heads: 2 }
const clip = {
  recipe: 'clip',
  data,
  resolution: 16,
  tokenizer: { captions: 300, size: 900, max_length: 24 },
  text: layers,
  vision: { ...layers, patch_size: 4 },
  projection_dim: 16,
  training: {
    train_batch_size: 16,
    max_train_steps: 60,
    validation_steps: 60,
    learning_rate: 5e-3,
    lr_warmup_steps: 5,
    threads: 1,
  },
}

test('a CLIP learns which caption belongs to which scene, with a tokenizer of its own', { timeout: 240_000 }, async () => {
  const { model, log, validation } = await trained('clip', clip)
  const mean = (rows: typeof log) => rows.reduce((sum, row) => sum + (row.recall as number), 0) / rows.length
  // Of sixteen: chance is 0.06.
  expect(mean(log.slice(-15))).toBeGreaterThan(0.15)
  expect(validation[0]?.recall_phrasings).toBeGreaterThan(1 / 64)

  const opened = loadClip(model)
  const dataset = await sceneDataset({ size: 16, styles: ['noto'], seed: 1, split: 'phrasings' })
  expect(await recallAt1(opened, dataset, 256)).toBeCloseTo(validation[0]?.recall_phrasings as number, 1)
  const { images } = await dataset.batch([0, 1, 2])
  const pictures = await opened.embedImages(images)
  expect(pictures.shape).toEqual([3, 16])
  expect(maxDifference(pictures.square().sum({ axes: [1] }), NdArray.full([3], 1))).toBeLessThan(1e-5)
  await opened.release()
})
