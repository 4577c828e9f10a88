import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { maxDifference } from '../../../../tests/fixture.ts'
import { openWeights } from '../../../checkpoints/index.ts'
import { sceneDataset } from '../../../data/index.ts'
import {
  createPromptBatches,
  finish,
  loadAutoencoder,
  loadClip,
  loadDetector,
  loadStableDiffusion,
  openComponents,
  partsOf,
} from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { Generator } from '../../../runtime/random.ts'
import { runTraining } from '../../../training/run.ts'
import { publishRun } from '../../cards/index.ts'
import { evaluateOptions } from '../../evaluation/options.ts'
import { bestGuidance } from '../../evaluation/text-to-image.ts'
import { parseRecipe, prepare } from '../../index.ts'
import { inMemory } from '../../stored.ts'
import { meanPsnr } from '../autoencoder/autoencoder.ts'
import { recallAt1 } from '../clip.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-text-to-image-'))
// Pools of latents, which would take the places of the user's.
process.env.LANGEVIN_CACHE = join(desk, 'cache')
afterAll(() => rmSync(desk, { recursive: true }))

/** Trains a recipe in a folder of its own, and gives what its logs say: rows by column. */
async function trained(name: string, recipe: object) {
  const { job, config } = await prepare(parseRecipe(recipe, name))
  const dir = join(desk, name)
  await runTraining(job, config, { dir, stream: { write: () => {} } })
  const table = (file: string) => {
    if (!existsSync(join(dir, file))) return []
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
  const made = await coder.decode(latents)
  expect(made.shape).toEqual([128, 3, 16, 16])
  await coder.release()

  // A decoder that goes on: other pictures of the very same latents.
  const { vae: _, ...rest } = vae
  const again = await trained('vae-decoder', { ...rest, pretrained: model })
  const finer = loadAutoencoder(again.model)
  expect(finer.config.scaling_factor).toBe(coder.config.scaling_factor)
  expect(maxDifference(await finer.encode(images), latents)).toBe(0)
  const finest = await finer.decode(latents)
  await finer.release()
  expect(meanPsnr(images, finest)).toBeGreaterThan(meanPsnr(images, made))
})

test('locality is one of its errors, and nothing for a decoder alone', { timeout: 120_000 }, async () => {
  const { adversarial: _, ...plain } = vae
  const local = { ...plain, resolution: 32, locality: { weight: 0.1, margin: 0 } }
  const { log } = await trained('vae-local', { ...local, training: { ...vae.training, max_train_steps: 3 } })
  for (const row of log) expect(row.locality).toBeGreaterThan(0)
  const { vae: __, ...rest } = local
  await expect(trained('vae-frozen', { ...rest, pretrained: join(desk, 'vae', 'model') })).rejects.toThrow(/leave one out/)
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

const network = { block_out_channels: [8, 16, 16, 16], norm_num_groups: 4, head_channels: 16 }
const judge = {
  recipe: 'judge',
  data,
  resolution: 16,
  network,
  training: {
    train_batch_size: 16,
    max_train_steps: 60,
    validation_steps: 60,
    learning_rate: 1e-2,
    lr_warmup_steps: 5,
    threads: 1,
  },
}

test('a judge learns to find objects and to name grounds', { timeout: 240_000 }, async () => {
  const { model, log, validation } = await trained('judge', judge)
  const mean = (from: number, to: number) => log.slice(from, to).reduce((sum, row) => sum + (row.loss as number), 0) / (to - from)
  expect(mean(50, 60)).toBeLessThan(0.8 * mean(0, 5))
  // Of twelve: chance is 0.08.
  expect(validation[0]?.ground).toBeGreaterThan(0.2)
  const opened = loadDetector(model)
  const dataset = await sceneDataset({ size: 16, styles: ['noto'] })
  const { found, features } = await opened.detect((await dataset.batch([0, 1, 2])).images)
  expect([found.length, features.shape]).toEqual([3, [3, 16]])
  for (const { objects, answers } of found) {
    expect(Object.keys(answers)).toEqual(['ground', 'style'])
    for (const { name, x, y } of objects) expect(dataset.classes.includes(name) && x > 0 && x < 1 && y > 0 && y < 1).toBe(true)
  }
  await opened.release()
})

test('a denoiser learns the latents; its folder is a Stable Diffusion pipeline', { timeout: 240_000 }, async () => {
  const parts = { vae: join(desk, 'vae', 'model'), clip: join(desk, 'clip', 'model') }
  const t2i = {
    recipe: 'text-to-image',
    data,
    resolution: 16,
    ...parts,
    unet: {
      block_out_channels: [8, 16],
      layers_per_block: 1,
      norm_num_groups: 4,
      attention_head_dim: 2,
      down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'],
      up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D'],
    },
    pool: 64,
    training: {
      train_batch_size: 8,
      max_train_steps: 20,
      validation_steps: 20,
      learning_rate: 5e-3,
      lr_warmup_steps: 2,
      threads: 1,
    },
  }
  const { model, dir, log, validation } = await trained('t2i', t2i)
  const mean = (from: number, to: number) =>
    log.slice(from, to).reduce((sum, row) => sum + (row.error as number), 0) / (to - from)
  expect(mean(14, 20)).toBeLessThan(mean(0, 3))
  expect(readFileSync(join(dir, 'samples', 'step-20.png')).length).toBeGreaterThan(1000)
  const heldOut = ['error_500', 'untold_500', 'error_750', 'untold_750', 'error_900', 'untold_900']
  expect(Object.keys(validation[0] ?? {})).toEqual(['step', ...heldOut])
  for (const name of heldOut) expect(validation[0]?.[name], name).toBeLessThan(log[0]?.error as number)

  // One picture by the pipeline, and the same among others by batches.
  const options = { steps: 4, guidance: 3, seed: 7 }
  const pipeline = await loadStableDiffusion(model)
  const one = await finish(pipeline.generate({ prompt: 'a fox on blue', syntax: 'plain', ...options }))
  await pipeline.release()
  const batches = createPromptBatches(partsOf(await openComponents(model)))
  const three = await batches.generate(['a fox on blue', 'two stars', ''], options)
  await batches.release()
  expect([one.shape, three.shape]).toEqual([
    [1, 3, 16, 16],
    [3, 3, 16, 16],
  ])
  expect(maxDifference(one, three.slice(0, 0, 1))).toBeLessThan(1e-4)

  // Biases take over at their steps.
  const [early, late] = [
    { begin: 0, end: 10, multiplier: 1e6 },
    { from: 5, begin: 990, end: 1000, multiplier: 1e6 },
  ]
  const { task } = (await prepare(parseRecipe({ ...t2i, timestep_bias: [early, late] }, 'biased'))).job
  const timesAt = async (step: number) => [...((await task.batch(new Generator(0), step)).t?.data ?? [])].map(Number)
  expect(Math.max(...(await timesAt(4)))).toBeLessThan(10)
  expect(Math.min(...(await timesAt(5)))).toBeGreaterThan(989)

  // Its denoiser goes on where it was, by another rule and with all levels alike.
  const { unet: _, ...rest } = t2i
  const training = { ...t2i.training, max_train_steps: 3, optimizer: 'muon' }
  const again = await trained('t2i-more', { ...rest, pretrained: model, snr_gamma: null, training })
  expect(again.log[0]?.error).toBeLessThan(mean(0, 3))

  // The text encoder goes on with it, and the folder has its new one; all else is as it was.
  const both = await trained('t2i-both', {
    ...rest,
    pretrained: model,
    train_text_encoder: true,
    layout_weight: 0.1,
    snr_gamma: null,
    training,
  })
  const moved = (part: string) => {
    const [before, after] = [model, both.model].map((dir) => inMemory(openWeights(join(dir, part))))
    expect([...(after?.keys() ?? [])]).toEqual([...(before?.keys() ?? [])])
    return [...(after ?? [])].filter(([key, value]) => maxDifference(value, before?.get(key) as NdArray) > 0).length
  }
  for (const { loss, error, layout } of both.log) expect(loss).toBeCloseTo((error as number) + 0.1 * (layout as number), 5)
  expect(both.log[0]?.error).toBeCloseTo(again.log[0]?.error as number, 6)
  expect(moved('text_encoder')).toBeGreaterThan(10)
  expect(moved('unet')).toBeGreaterThan(10)
  expect(moved('vae')).toBe(0)
  const others = createPromptBatches(partsOf(await openComponents(both.model)))
  expect((await others.generate(['a fox on blue'], options)).shape).toEqual([1, 3, 16, 16])
  await others.release()

  for (const { loss, error } of log) expect(loss).toBeLessThan(error as number)
  for (const { loss, error } of again.log) expect(loss).toBeCloseTo(error as number, 6)
})

const evaluate = evaluateOptions.parse({ num: 10, validation: 6, steps: 2, batch: 8, judge: join(desk, 'judge', 'model') })

test.each(['vae', 'clip', 'judge', 't2i'])(
  'the card of %s states what was measured, without gaps',
  { timeout: 240_000 },
  async (name) => {
    const out = join(desk, `tiny-${name}`)
    await publishRun(join(desk, name), out, { evaluate, warn: () => {} })
    const card = readFileSync(join(out, 'README.md'), 'utf8')
    for (const fact of [`# tiny-${name}`, '© Google', 'French fries'.toLowerCase(), process.version]) expect(card).toContain(fact)
    expect(card).not.toMatch(/undefined|NaN|\[object|null/)
    const links = [...card.matchAll(/\]\((?!https:|\.\.)([^)]+)\)/g)].map(([, path]) => path as string)
    expect(links).toContain('recipe.json')
    for (const path of links) expect(existsSync(join(out, path)), path).toBe(true)
    const evaluation = JSON.parse(readFileSync(join(out, 'evaluation.json'), 'utf8'))
    expect(evaluation.model).toBe(`tiny-${name}`)
    if (name !== 't2i') return
    const names = (rows: { name: string }[]) => rows.map(({ name }) => name)
    const coder = 'real pictures through the autoencoder'
    expect(names(evaluation.scores)).toEqual(['real pictures', coder, 'tiny-t2i', 'tiny-t2i, captions of other pictures'])
    expect(names(evaluation.pairScores)).toEqual(['real pictures', 'tiny-t2i'])
    expect(names(evaluation.distances)).toEqual(['other real pictures', coder, 'tiny-t2i'])
    expect([evaluation.captions, evaluation.validation, evaluation.chosen]).toEqual([10, 6, true])
    expect(evaluation.guidance).toBe(bestGuidance(evaluation.sweep))
    expect(card).toContain(`of 10 scenes that training never showed`)
    expect(evaluation.sweep.map((point: { guidance: number }) => point.guidance)).toEqual([1, 2, 3, 4, 5])
    for (const { diversity } of evaluation.sweep) expect(diversity).toBeGreaterThan(0)
  },
)
