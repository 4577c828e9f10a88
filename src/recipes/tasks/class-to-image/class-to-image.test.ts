import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { maxDifference } from '../../../../tests/fixture.ts'
import { openWeights, saveModel } from '../../../checkpoints/index.ts'
import { input } from '../../../core/tensor.ts'
import { betaSchedule, GaussianDiffusion, gaussianKl } from '../../../diffusion/index.ts'
import { autoencoderKL, autoencoderKLConfig } from '../../../models/vae/index.ts'
import { Params } from '../../../nn/params.ts'
import { createClassBatches, finish, loadPipeline } from '../../../pipelines/index.ts'
import { NdArray } from '../../../runtime/ndarray.ts'
import { compile } from '../../../runtime/program.ts'
import { Generator } from '../../../runtime/random.ts'
import { runTraining } from '../../../training/run.ts'
import { publishRun } from '../../cards/index.ts'
import { measuredAs } from '../../evaluation/measured-as.ts'
import { evaluateOptions } from '../../evaluation/options.ts'
import { parseRecipe, prepare } from '../../index.ts'
import { measureScaling, type ScalingPoint, scalingChart } from '../../scaling.ts'
import { inMemory } from '../../stored.ts'
import { storedAutoencoder } from '../text-to-image/pipeline-folder.ts'
import { storedTransformer } from './folder.ts'
import { boundFeeds, boundTerms } from './variances.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-class-to-image-'))
// Pools of latents, which would take the places of the user's.
process.env.LANGEVIN_CACHE = join(desk, 'cache')
afterAll(() => rmSync(desk, { recursive: true }))

/** An autoencoder that has learnt nothing, of latents 4 × 4 for pictures of 8 × 8. */
const vae = join(desk, 'vae')
const blocks = { block_out_channels: [4, 4], layers_per_block: 1, latent_channels: 2, norm_num_groups: 1 }
const encoders = { down_block_types: Array(2).fill('DownEncoderBlock2D'), up_block_types: Array(2).fill('UpDecoderBlock2D') }
const vaeConfig = autoencoderKLConfig({ ...blocks, ...encoders, sample_size: 8 }, 'vae')
const vaeParams = new Params()
autoencoderKL(vaeParams, vaeConfig)
saveModel(vae, { _class_name: 'AutoencoderKL', ...vaeConfig }, vaeParams.initialise(new Generator(1)))

const recipe = {
  recipe: 'class-to-image',
  data: { kind: 'stickers', styles: ['noto'], nouns: ['fox', 'star', 'donut'], lattice: { cells: 4, sides: [3, 4] } },
  resolution: 8,
  vae,
  transformer: { num_layers: 2, num_attention_heads: 2, attention_head_dim: 8 },
  learn_sigma: true,
  pool: 32,
  training: { train_batch_size: 8, max_train_steps: 30, validation_steps: 30, lr_warmup_steps: 2, threads: 1, ema_decay: 0 },
}

async function trained(name: string, recipe: object) {
  const { job, config } = await prepare(parseRecipe(recipe, name))
  const dir = join(desk, name)
  await runTraining(job, config, { dir, stream: { write: () => {} } })
  const rows = readFileSync(join(dir, 'log.csv'), 'utf8').trim().split('\n').slice(1)
  return { dir, model: join(dir, 'model'), losses: rows.map((row) => Number(row.split(',')[1])) }
}

test('a diffusion transformer learns classes, with learnt variances; its folder is a DiTPipeline with names, and training goes on from it', {
  timeout: 120_000,
}, async () => {
  const { dir, model, losses } = await trained('dit', recipe)
  const mean = (from: number, to: number) => losses.slice(from, to).reduce((a, b) => a + b, 0) / (to - from)
  expect(mean(20, 30)).toBeLessThan(mean(0, 3) - 0.1)
  expect(readFileSync(join(dir, 'samples', 'step-30.png')).length).toBeGreaterThan(100)
  const index = JSON.parse(readFileSync(join(model, 'model_index.json'), 'utf8'))
  expect(index).toMatchObject({ _class_name: 'DiTPipeline', transformer: ['diffusers', 'DiTTransformer2DModel'] })
  expect(index.id2label).toEqual({
    0: 'donut in noto style, noto donut',
    1: 'fox in noto style, noto fox',
    2: 'star in noto style, noto star',
  })

  // diffusers guides by row 1000, which stands for no class, as all rows without a class do.
  const table = inMemory(openWeights(join(model, 'transformer'))).get(
    'transformer_blocks.1.norm1.emb.class_embedder.embedding_table.weight',
  ) as NdArray
  expect(table.shape).toEqual([1001, 16])
  const row = (at: number) => table.slice(0, at, at + 1)
  for (const at of [3, 500, 999]) expect(maxDifference(row(at), row(1000))).toBe(0)
  expect(maxDifference(row(2), row(1000))).toBeGreaterThan(1e-3)

  // The pictures of the batches that measure it are the pipeline's.
  const sampling = { steps: 3, guidance: 3, seed: 5 }
  const pipeline = await loadPipeline(model, { threads: 1 })
  const made = await finish(pipeline.generate({ label: ['donut, noto style', 'noto fox'], ...sampling }))
  await pipeline.release()
  const transformer = storedTransformer(join(model, 'transformer'), 3)
  expect(transformer.config).toMatchObject({ num_embeds_ada_norm: 3, out_channels: 4 })
  const scheduler = JSON.parse(readFileSync(join(model, 'scheduler', 'scheduler_config.json'), 'utf8'))
  const stored = storedAutoencoder(join(model, 'vae'))
  const batches = createClassBatches({ transformer, vae: stored, scheduler }, { threads: 1 })
  const pictures = await batches.generate([0, 1], sampling)
  await batches.release()
  expect(maxDifference(pictures, made.type === 'pictures' ? made.pictures : NdArray.zeros([1]))).toBeLessThan(1e-4)

  // Its card, with what the judge finds by class.
  const out = join(desk, 'tiny-dit')
  await publishRun(dir, out, { evaluate: evaluateOptions.parse({ num: 6, validation: 3, steps: 2 }), engine: { threads: 1 } })
  const evaluation = JSON.parse(readFileSync(join(out, 'evaluation.json'), 'utf8'))
  expect(evaluation).toMatchObject({ kind: 'class-to-image', each: 2, classes: 3, validation: 3 })
  const [real, , own] = evaluation.scores
  expect(real.rates.exact.share).toBeGreaterThan(0.6)
  expect(own.rates.exact.share).toBeLessThan(0.6)
  expect(evaluation.byClass).toHaveLength(3)
  const card = readFileSync(join(out, 'README.md'), 'utf8')
  expect(card).toContain('The stickers: fox, star, donut.')
  expect(card).toMatch(/The weakest is "(fox|star|donut) in noto style": its sticker is there in/)
  expect(measuredAs(out)).toEqual({ path: out, as: 'classes' })

  const { transformer: _, ...rest } = recipe
  const { losses: more } = await trained('on', {
    ...rest,
    pretrained: model,
    training: { ...recipe.training, max_train_steps: 3 },
  })
  expect(more[0]).toBeLessThan(mean(0, 3))
  const others = { ...rest, pretrained: model, data: { kind: 'stickers', styles: ['noto'] } }
  await expect(trained('other', others)).rejects.toThrow(/the network has 1000 classes, and the recipe's data 10\d\d/)
})

test('scaling compares networks of several sizes on the same batches', async () => {
  const { transformer: _, training: __, ...rest } = recipe
  const points = await measureScaling({ steps: 4, patches: [2, 4], blocks: [1], recipe: { ...rest, learn_sigma: false } })
  expect(points.map(({ patch, blocks }) => [patch, blocks])).toEqual([
    [2, 1],
    [4, 1],
  ])
  const [small, large] = points as [ScalingPoint, ScalingPoint]
  // Four tokens of latents 4 × 4, and one.
  expect(small.operations).toBe(12 * 4 * 96 ** 2 + 2 * 4 ** 2 * 96)
  expect(large.operations).toBe(12 * 96 ** 2 + 2 * 96)
  for (const { loss } of points) expect(loss).toBeGreaterThan(0.3)
  const { series } = scalingChart(points, 4)
  expect(series.map(({ name }) => name)).toEqual(['patches of 2×2', 'patches of 4×4'])
})

test("a learnt variance's term is the divergence of the posterior, and moves the variance alone", async () => {
  const process = new GaussianDiffusion(betaSchedule('squaredcos_cap_v2', { steps: 50 }))
  const times = [1, 20, 49]
  const shape = [3, 2, 2, 2]
  const generator = new Generator(3)
  const [data, noise, wrong, v] = Array.from({ length: 4 }, () => generator.randn(shape)) as [NdArray, NdArray, NdArray, NdArray]
  const x = process.addNoise(data, noise, times)
  for (const prediction of ['epsilon', 'v_prediction'] as const) {
    const target = process.target(prediction, data, noise, times)
    const level = (t: number) => process.level(t)
    const column = (of: (t: number) => number) => NdArray.from(times.map(of), [3, 1, 1, 1])
    const [alpha, sigma] = [column((t) => level(t).alpha), column((t) => level(t).sigma)]
    const output = target.add(wrong)
    const guess = prediction === 'epsilon' ? x.sub(sigma.mul(output)).div(alpha) : alpha.mul(x).sub(sigma.mul(output))
    const [truth, model] = [process.posterior(data, x, times), process.posterior(guess, x, times)]
    const [low, high] = [truth.variance.log(), column((t) => Math.log(process.betas[t] as number))]
    const logVariance = low.add(high.sub(low).mul(v.add(1).div(2)))
    const expected = gaussianKl(truth.mean, low, model.mean, logVariance)
      .mean({ axes: [1, 2, 3] })
      .div(Math.LN2)
    const feeds = boundFeeds(process, prediction, times)
    const columns = {
      meanWeight: input('meanWeight', [3, 1, 1, 1]),
      low: input('low', [3, 1, 1, 1]),
      high: input('high', [3, 1, 1, 1]),
    }
    const terms = boundTerms(input('error', shape), input('v', shape), columns)
    const program = await compile({ outputs: { terms } }, { threads: 1 })
    const found = (await program.run({ error: wrong.square(), v, ...feeds })).terms as NdArray
    await program.release()
    expect(maxDifference(found.div(expected), NdArray.full([3], 1))).toBeLessThan(1e-3)
  }
})
