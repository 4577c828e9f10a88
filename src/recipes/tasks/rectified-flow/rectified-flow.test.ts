import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { maxDifference } from '../../../../tests/fixture.ts'
import { loadConfig, openWeights } from '../../../checkpoints/index.ts'
import { createPromptBatches, finish, loadPipeline, openFlowParts } from '../../../pipelines/index.ts'
import type { NdArray } from '../../../runtime/ndarray.ts'
import { Generator } from '../../../runtime/random.ts'
import { T5Tokenizer } from '../../../text/index.ts'
import { runTraining } from '../../../training/run.ts'
import { publishRun } from '../../cards/index.ts'
import { evaluateOptions } from '../../evaluation/options.ts'
import { parseRecipe, prepare } from '../../index.ts'
import { inMemory } from '../../stored.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-rectified-flow-'))
// Pools of latents, which would take the places of the user's.
process.env.LANGEVIN_CACHE = join(desk, 'cache')
afterAll(() => rmSync(desk, { recursive: true }))

/** A part as its recipe starts it. */
async function started(name: string, recipe: object): Promise<string> {
  const { job } = await prepare(parseRecipe(recipe, name))
  const dir = join(desk, name)
  await job.save(new Map([...job.task.params.initialise(new Generator(0)), ...(job.task.start ?? [])]), dir)
  return dir
}

async function trained(recipe: object, name: string) {
  const { job, config } = await prepare(parseRecipe(recipe, name))
  const dir = join(desk, name)
  await runTraining(job, config, { dir, stream: { write: () => {} }, say: () => {} })
  const [heads, ...rows] = readFileSync(join(dir, 'log.csv'), 'utf8').trim().split('\n')
  const columns = heads?.split(',') as string[]
  const log = rows.map((row) => Object.fromEntries(row.split(',').map((cell, i) => [columns[i], Number(cell)])))
  return { dir, model: join(dir, 'model'), log }
}

const data = { kind: 'scenes', styles: ['noto'] }
const layers = { num_hidden_layers: 2, hidden_size: 16, intermediate_size: 32, num_attention_heads: 2 }
const training = {
  train_batch_size: 8,
  max_train_steps: 4,
  validation_steps: 4,
  learning_rate: 5e-3,
  lr_warmup_steps: 1,
  num_validation_images: 2,
  validation_num_inference_steps: 2,
  threads: 1,
}
const parts = {
  vae: started('vae', {
    recipe: 'autoencoder',
    ...{ data, resolution: 16, training },
    vae: {
      block_out_channels: [8, 16],
      down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D'],
      up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D'],
      norm_num_groups: 4,
    },
  }),
  clip: started('clip', {
    recipe: 'clip',
    ...{ data, resolution: 16, training },
    tokenizer: { captions: 200, size: 700, max_length: 24 },
    ...{ text: layers, vision: { ...layers, patch_size: 4 }, projection_dim: 8 },
  }),
  judge: started('judge', {
    recipe: 'judge',
    ...{ data, resolution: 16, training },
    network: { block_out_channels: [8, 8, 8, 8], norm_num_groups: 4, head_channels: 8 },
  }),
}
const t5 = {
  recipe: 't5',
  data,
  tokenizer: { texts: 500, size: 400, max_length: 16 },
  network: { d_model: 32, d_kv: 8, num_heads: 2, d_ff: 32, num_layers: 1, num_decoder_layers: 1 },
  noise_density: 0.3,
  mean_noise_span_length: 2,
  training: {
    ...training,
    train_batch_size: 16,
    max_train_steps: 25,
    validation_steps: 25,
    optimizer: 'muon',
    learning_rate: 1e-2,
  },
}
const flow = async () => ({
  recipe: 'rectified-flow',
  ...{ data, resolution: 16, pool: 32, clip_tokens: 20 },
  ...{ vae: await parts.vae, clips: [await parts.clip, await parts.clip], t5: join(desk, 't5', 'model') },
  transformer: { num_layers: 2, num_attention_heads: 2, attention_head_dim: 16, qk_norm: 'rms_norm' },
  ...{ train_text_encoder: true, layout_weight: 0.1, patch_labels: { block: 0, weight: 0.1 }, encoder_dropout: 0.2 },
  training: { ...training, optimizer: 'muon', lr_scheduler: 'constant', checkpointing_steps: 2 },
})

test('a T5 learns what was cut out of captions', { timeout: 120_000 }, async () => {
  const { model, dir, log } = await trained(t5, 't5')
  const mean = (from: number, to: number) => log.slice(from, to).reduce((sum, row) => sum + (row.loss as number), 0) / (to - from)
  expect(mean(0, 3)).toBeGreaterThan(4)
  expect(mean(22, 25)).toBeLessThan(0.8 * mean(0, 3))
  expect(readFileSync(join(dir, 'validation.csv'), 'utf8')).toMatch(/^step,loss_phrasings,accuracy_phrasings\n25,/)
  const { architectures, tie_word_embeddings: tied, vocab_size: size } = loadConfig(model)
  expect([architectures, tied]).toEqual([['T5ForConditionalGeneration'], false])
  expect(T5Tokenizer.open(model).size).toBe(size)
})

test('a flow learns latents of captions; a run that stops and goes on has the same losses', { timeout: 240_000 }, async () => {
  const recipe = await flow()
  const whole = await trained(recipe, 'flow')
  for (const { loss, error, layout, patch_labels: patches } of whole.log)
    expect(loss).toBeCloseTo((error as number) + 0.1 * (layout as number) + 0.1 * (patches as number), 5)
  expect(whole.log.at(-1)?.error).toBeLessThan(0.95 * (whole.log[0]?.error as number))
  await trained({ ...recipe, training: { ...recipe.training, max_train_steps: 2 } }, 'parted')
  await trained(recipe, 'parted')
  const losses = (dir: string) =>
    readFileSync(join(dir, 'log.csv'), 'utf8')
      .trim()
      .split('\n')
      .map((row) => row.split(',').slice(0, 4).join())
  expect(losses(join(desk, 'parted'))).toEqual(losses(whole.dir))
  const [one, other] = [whole.model, join(desk, 'parted', 'model')].map((dir) => inMemory(openWeights(join(dir, 'transformer'))))
  for (const [key, value] of one ?? []) expect(maxDifference(value, other?.get(key) as NdArray), key).toBe(0)

  // The first text encoder goes on, the second and the table of positions stay.
  const clip = inMemory(openWeights(await parts.clip))
  const moved = (part: string) =>
    [...inMemory(openWeights(join(whole.model, part)))].filter(
      ([key, value]) => maxDifference(value, clip.get(key) as NdArray) > 0,
    )
  expect([moved('text_encoder').length > 10, moved('text_encoder_2').length]).toEqual([true, 0])
  const table = (dir: string) => inMemory(openWeights(join(dir, 'transformer'))).get('pos_embed.pos_embed') as NdArray
  expect(table(whole.model).shape).toEqual([1, 16, 32])
  expect(maxDifference(table(whole.model), table(join(desk, 'parted', 'model')))).toBe(0)
})

test('its folder is a Stable Diffusion 3 pipeline, and batches make the same pictures', { timeout: 120_000 }, async () => {
  const model = join(desk, 'flow', 'model')
  const options = { steps: 3, guidance: 3, seed: 7 }
  const pipeline = await loadPipeline(model, { threads: 1 })
  const one = await finish(pipeline.generate({ prompt: 'a fox on blue', ...options }))
  await pipeline.release()
  const pictures = (one as { pictures: NdArray<'f32'> }).pictures
  const batches = createPromptBatches((await openFlowParts(model)) as never, { threads: 1 })
  const three = await batches.generate(['a fox on blue', 'two apples', ''], options)
  await batches.release()
  expect([pictures.shape, three.shape]).toEqual([
    [1, 3, 16, 16],
    [3, 3, 16, 16],
  ])
  expect(maxDifference(pictures, three.slice(0, 0, 1))).toBeLessThan(1e-4)
  expect(maxDifference(three.slice(0, 1, 2), three.slice(0, 2, 3))).toBeGreaterThan(1e-4)
})

test('times have the density of the stage, shifted; parts of encoders and captions are left out as often as asked', async () => {
  const recipe = await flow()
  const stages = [{ kind: 'uniform' }, { from: 3, kind: 'logit-normal', mean: 5, std: 0.01 }]
  const given = { ...recipe, time_density: stages, scheduler: { shift: 3 }, encoder_dropout: 0.25, condition_dropout: 0 }
  const { job } = await prepare(parseRecipe({ ...given, training: { ...training, train_batch_size: 64 } }, 'times'))
  const { t, kept } = await job.task.batch(new Generator(0), 1)
  const times = Array.from(t?.data ?? [], Number).sort((a, b) => a - b)
  for (const [i, time] of times.entries()) {
    const u = (i + 0.5) / 64
    expect(Math.abs(time - (1000 * 3 * u) / (1 + 2 * u))).toBeLessThan((1000 / 64) * 1.6)
  }
  const share = 1 - (kept as NdArray).cast('f32').mean().item()
  expect(share).toBeGreaterThan(0.13)
  expect(share).toBeLessThan(0.37)
  const late = Array.from((await job.task.batch(new Generator(0), 3)).t?.data ?? [], Number)
  expect(Math.min(...late)).toBeGreaterThan(990)
  const wrong = (fields: object) => prepare(parseRecipe({ ...recipe, ...fields }, 'wrong'))
  await expect(wrong({ time_density: [stages[1], stages[0]] })).rejects.toThrow(/time_density: from 3, then from 0/)
  await expect(wrong({ patch_labels: { block: 2, weight: 1 } })).rejects.toThrow(/no block 2/)
  await expect(wrong({ clip_tokens: 25 })).rejects.toThrow(/clip_tokens: 25, and .* has 24 places/)
  await expect(wrong({ train_text_encoder: false })).rejects.toThrow(/add train_text_encoder/)
})

test('the card of a flow states what was measured, without gaps', { timeout: 240_000 }, async () => {
  const out = join(desk, 'tiny-flow')
  const evaluate = evaluateOptions.parse({ num: 6, validation: 2, steps: 2, batch: 8, judge: await parts.judge })
  await publishRun(join(desk, 'flow'), out, { evaluate, warn: () => {} })
  const card = readFileSync(join(out, 'README.md'), 'utf8')
  for (const fact of ['# tiny-flow', '© Google', 'StableDiffusion3Pipeline', 'ectified flow', process.version])
    expect(card).toContain(fact)
  expect(card).not.toMatch(/undefined|NaN|\[object|null/)
  for (const [, path] of card.matchAll(/\]\((?!https:|\.\.)([^)]+)\)/g))
    expect(existsSync(join(out, path as string)), path).toBe(true)
  const evaluation = JSON.parse(readFileSync(join(out, 'evaluation.json'), 'utf8'))
  expect([evaluation.model, evaluation.captions]).toEqual(['tiny-flow', 6])
  expect(evaluation.latentDeviation).toBeGreaterThan(0)
})
