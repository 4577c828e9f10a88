import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { maxDifference } from '../../../tests/fixture.ts'
import { ArgumentError } from '../../core/errors.ts'
import { input } from '../../core/tensor.ts'
import {
  betaSchedule,
  finish,
  finiteDifferences,
  GaussianDiffusion,
  posteriorStep,
  variationalBound,
  vp,
} from '../../diffusion/index.ts'
import { unet2d, unet2dConfig } from '../../models/unet/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { saveDdpm } from '../ddpm/folder.ts'
import { loadPictureModel } from '../ddpm/unconditional.ts'
import { createScoreSde, loadScoreSde } from './model.ts'

const config = unet2dConfig({
  sample_size: 8,
  block_out_channels: [8, 16],
  layers_per_block: 1,
  norm_num_groups: 4,
  down_block_types: ['DownBlock2D', 'DownBlock2D'],
  up_block_types: ['UpBlock2D', 'UpBlock2D'],
})
const params = new Params()
unet2d(params, config)(input('x', [1, 3, 8, 8]), input('t', [1]))
const initial = params.initialise(new Generator(0))
const scheduler = { _class_name: 'DDPMScheduler', beta_schedule: 'linear', beta_start: 1e-4, beta_end: 0.02 }
const model = createScoreSde({ config, scheduler, weights: initial })
const velocities = { ...scheduler, prediction_type: 'v_prediction' }
const modelOfV = createScoreSde({ config, scheduler: velocities, weights: initial })
/** A network whose output is 0: the data then look like N(0, I/α²) at every level, and densities are known. */
const silent = new Map([...initial].map(([key, value]) => [key, key.startsWith('conv_out') ? value.mul(0) : value]))
const zero = createScoreSde({ config, scheduler, weights: silent })
const zeroOfV = createScoreSde({ config, scheduler: velocities, weights: silent })
afterAll(async () => {
  for (const one of [model, modelOfV, zero, zeroOfV]) await one.release()
})

test.each([
  ['noise', model],
  ['v', modelOfV],
])('a prediction of %s: v·J by the gradient is v·J by finite differences', async (_, model) => {
  const generator = new Generator(1)
  const [x, v] = [generator.randn([2, 3, 8, 8]), generator.randn([2, 3, 8, 8])]
  for (const sigma of [0.2, 0.9]) {
    const exact = (await model.jacobian(x, sigma, v)).dot(v)
    const near = (await finiteDifferences(model.denoise, 1e-2)(x, sigma, v)).dot(v)
    expect(Math.abs(exact - near)).toBeLessThan(2e-3 * Math.abs(near))
  }
})

test.each(['pc', 'sde', 'ode'] as const)('%s: the same seed, the same pictures', async (sampler) => {
  const options = { num: 2, ...(sampler === 'ode' ? {} : { steps: 4 }), sampler, seed: 5, tolerance: 1e-2 }
  const [a, b] = [await finish(model.sample(options)), await finish(model.sample(options))]
  expect(a.shape).toEqual([2, 3, 8, 8])
  expect(a.allFinite()).toBe(true)
  expect([...a.data]).toEqual([...b.data])
})

const [first, last] = [1e-3, 1].map((t) => Math.exp(-(0.1 * t + (19.9 * t * t) / 2) / 2)) as [number, number]
test.each([
  // D = x/α: y = x/α stands still in ln(σ/α), so that x grows by α(1)/α(0), from a standard normal at the end.
  ['noise', 'a scaled', zero, last / first],
  // D = αx is that of standard normal data, which stay so.
  ['v', 'a', zeroOfV, 1],
])('bits per dimension where no %s is predicted are those of %s standard normal', async (_, __, zero, scale) => {
  const pictures = NdArray.zeros([2, 3, 8, 8]).map((_, i) => ((i * 37) % 256) / 127.5 - 1)
  const found = await zero.bitsPerDimension(pictures, { tolerance: 1e-5 })
  const u = new Generator(0).rand(pictures.shape).data
  const exact = [0, 1].map((row) => {
    const nats = Array.from({ length: 192 }, (_, i) => {
      const at = row * 192 + i
      const x = (((pictures.data[at] as number) + 1) * 127.5 + (u[at] as number)) / 128 - 1
      return -0.5 * ((scale * x) ** 2 + Math.log(2 * Math.PI)) + Math.log(scale)
    })
    return -nats.reduce((a, b) => a + b) / (192 * Math.LN2) + 7
  })
  for (const [i, bits] of found.entries()) expect(bits).toBeCloseTo(exact[i] as number, 3)
})

test('the bound of the chain is that of the denoiser which the network is', async () => {
  const chain = { ...scheduler, num_train_timesteps: 40, beta_start: 0.0025, beta_end: 0.5 }
  const short = createScoreSde({ config, scheduler: chain, weights: silent })
  const pictures = NdArray.zeros([3, 3, 8, 8]).map((_, i) => ((i * 37) % 256) / 127.5 - 1)
  const process = new GaussianDiffusion(betaSchedule('linear', { steps: 40, start: 0.0025, end: 0.5 }))
  const reverse = posteriorStep(process, (x, sigma) => x.div(vp.alpha(sigma)))
  const known = await variationalBound(process, reverse, pictures, new Generator(7))
  const found = await short.variationalBound(pictures, { seed: 7, batch: 2 })
  await short.release()
  for (const [i, bits] of found.entries()) expect(bits).toBeCloseTo(Number(known.data[i]), 3)
})

describe('a folder', () => {
  const dir = mkdtempSync(join(tmpdir(), 'langevin-score-sde-'))
  beforeAll(() => saveDdpm(dir, { config, scheduler, weights: initial }))
  afterAll(() => rmSync(dir, { recursive: true }))

  test('opens as the model that was saved, to float16', async () => {
    const loaded = await loadScoreSde(dir)
    const x = new Generator(3).randn([2, 3, 8, 8])
    const [a, b] = [await loaded.denoise(x, 0.7), await model.denoise(x, 0.7)]
    await loaded.release()
    expect(maxDifference(a, b)).toBeLessThan(5e-3)
    expect(maxDifference(a, b)).toBeGreaterThan(0)
  })

  test.each([
    ['pc', 'predictor-corrector'],
    ['sde', 'reverse SDE'],
    ['ode', 'probability-flow ODE'],
    ['ddim', 'DDIMScheduler'],
    [undefined, 'DDPMScheduler'],
  ] as const)('is sampled by %s, in parts as well, and tells how far it is', async (name, sampler) => {
    const pipeline = await loadPictureModel(dir, name)
    const options = { num: 3, seed: 1, ...(name === 'ode' ? {} : { steps: 4 }) }
    const told: number[] = []
    const whole = await finish(pipeline.sample({ ...options, batch: 3 }), ({ done, total }) => told.push(done / total))
    const parts = await finish(pipeline.sample({ ...options, batch: 2 }))
    await pipeline.release()
    // Of the largest value: what an untrained network samples grows to hundreds.
    expect(maxDifference(whole, parts)).toBeLessThan(1e-4 * Math.max(1, whole.abs().max().item()))
    expect(told.length).toBeGreaterThan(3)
    expect(told).toEqual([...told].sort((a, b) => a - b))
    if (name !== 'ode') expect(told.at(-1)).toBe(1)
    expect(pipeline.sampler).toBe(sampler)
  })

  test('options that contradict the sampler are refused, and a signal stops it', async () => {
    const failing = async (name: 'pc' | 'ode', options: object) => {
      const pipeline = await loadPictureModel(dir, name)
      try {
        return await finish(pipeline.sample(options)).then(
          () => 'nothing',
          (error: Error) => `${error.name}: ${error.message}`,
        )
      } finally {
        await pipeline.release()
      }
    }
    expect(await failing('ode', { steps: 5 })).toContain('ode chooses its own')
    expect(await failing('pc', { steps: 0 })).toContain('steps')
    expect(await failing('pc', { signal: AbortSignal.abort(new Error('enough')) })).toContain('enough')
    const eta = loadPictureModel(dir, 'pc').then((pipeline) => pipeline.sample({ eta: 1 }))
    await expect(eta).rejects.toThrow("eta is DDIM's; pc has none")
  })
})

test('another schedule is refused', () => {
  const other = { ...scheduler, beta_schedule: 'squaredcos_cap_v2' }
  expect(() => createScoreSde({ config, scheduler: other, weights: initial })).toThrow(
    new ArgumentError(
      'a score SDE has linear betas and predicts epsilon or v_prediction; this model has squaredcos_cap_v2 and epsilon',
    ),
  )
  expect(() => createScoreSde({ config, scheduler, weights: initial }, { end: 0 })).toThrow('0 < end < 1')
})
