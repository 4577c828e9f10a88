import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { maxDifference } from '../../../tests/fixture.ts'
import { openSafetensors, writeSafetensors } from '../../checkpoints/safetensors.ts'
import { input } from '../../core/tensor.ts'
import { unet2dCondition, unet2dConditionConfig } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { Generator, type NdArray } from '../../runtime/index.ts'
import type { Weights } from '../../runtime/weights.ts'
import { type DenoiserOptions, denoiser } from './denoiser.ts'
import type { StepCache } from './step-cache.ts'
import { traceUnet } from './unet.ts'

const config = unet2dConditionConfig({
  block_out_channels: [64, 96],
  down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'],
  up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D'],
  layers_per_block: 1,
  norm_num_groups: 16,
  attention_head_dim: 4,
  cross_attention_dim: 64,
})
const random = new Generator(5)
const p = new Params()
unet2dCondition(p, config)(input('x', [2, 4, 8, 8]), input('t', [2]), input('c', [2, 7, 64]))
const weights = p.initialise(random)
const entries = [0, 1].map(() => ({ context: random.randn([1, 7, 64]) }))
const samples = [0, 1, 2, 3].map(() => random.randn([2, 4, 8, 8]))

const open = (options: DenoiserOptions, stored: Weights = weights) =>
  denoiser({ className: 'UNet2DConditionModel', config, weights: stored }, traceUnet, {}, options)

/** The outputs of a few steps. */
async function outputs(options: DenoiserOptions, inputs = samples): Promise<NdArray[]> {
  const network = open(options)
  const run = network.begin()
  const found: NdArray[] = []
  for (const [call, sample] of inputs.entries()) found.push(await run.predict(sample, 900 - 200 * call, entries, { call }))
  await network.release()
  return found
}

const difference = (a: NdArray | undefined, b: NdArray | undefined) => maxDifference(a!, b!)
/** Signal to noise in dB. */
const quality = (a: NdArray, b: NdArray) =>
  10 * Math.log10(b.mul(b).mean().item() / Math.max(a.sub(b).mul(a.sub(b)).mean().item(), 1e-30))

let float: NdArray[]
beforeAll(async () => {
  float = await outputs({})
})

describe('step caching', () => {
  const always: StepCache = { kind: 'deep', interval: 1 }

  test('at every step, or with a threshold that nothing stays below, it is the network itself', async () => {
    for (const cache of [always, { kind: 'first-block', threshold: 0 } as const]) {
      const cached = await outputs({ cache })
      for (const [i, output] of cached.entries()) expect(difference(output, float[i])).toBeLessThan(1e-5)
    }
  })

  test('the steps between take over deep features: right for the same input, near for another', async () => {
    for (const cache of [{ kind: 'deep', interval: 2 } as const, { kind: 'first-block', threshold: 1e9 } as const]) {
      const network = open({ cache })
      const run = network.begin()
      const [x, other] = samples as [NdArray<'f32'>, NdArray<'f32'>]
      const first = await run.predict(x, 500, entries, { call: 0 })
      const again = await run.predict(x, 500, entries, { call: 1 })
      expect(difference(again, first)).toBeLessThan(1e-5)
      await run.predict(x, 500, entries, { call: 2 })
      const near = await run.predict(other, 500, entries, { call: 3 })
      await network.release()
      const plain = open({})
      const right = await plain.begin().predict(other, 500, entries)
      await plain.release()
      expect(difference(near, right)).toBeGreaterThan(1e-4)
      expect(quality(near, right)).toBeGreaterThan(3)
    }
  })

  test('each picture starts anew', async () => {
    const network = open({ cache: { kind: 'deep', interval: 100 } })
    const run = network.begin()
    for (const sample of samples) {
      const found = await run.predict(sample, 500, entries, { call: 0 })
      const plain = open({})
      expect(difference(found, await plain.begin().predict(sample, 500, entries))).toBeLessThan(1e-5)
      await plain.release()
    }
    await network.release()
  })

  test('options that mean nothing are told', () => {
    expect(() => open({ cache: { kind: 'deep', interval: 0 } })).toThrow(/cache.*interval/s)
  })
})

describe('few bits', () => {
  const dir = mkdtempSync(join(tmpdir(), 'langevin-modes-'))
  beforeAll(() => {
    vi.stubEnv('LANGEVIN_CACHE', dir)
  })
  afterAll(() => {
    vi.unstubAllEnvs()
    rmSync(dir, { recursive: true })
  })

  test('int8 calibrates in float, then stays near it; ranges are kept for the file', async () => {
    const file = join(dir, 'unet.safetensors')
    writeSafetensors(file, weights)
    const stored = openSafetensors(file).tensors
    const network = open({ quantize: 'int8' }, stored)
    expect(network.needsCalibration()).toBe(true)
    await network.calibrate([], async (run) => {
      for (const [call, sample] of samples.entries()) {
        const output = await run.predict(sample, 900 - 200 * call, entries, { call })
        expect(difference(output, float[call])).toBeLessThan(1e-5)
      }
    })
    expect(network.needsCalibration()).toBe(false)
    const output = await network.begin().predict(samples[1]!, 700, entries)
    await network.release()
    expect(quality(output, float[1]!)).toBeGreaterThan(20)
    expect(quality(output, float[1]!)).toBeLessThan(60)

    const second = open({ quantize: 'int8' }, openSafetensors(file).tensors)
    expect(second.needsCalibration()).toBe(false)
    expect(difference(await second.begin().predict(samples[1]!, 700, entries), output)).toBeLessThan(1e-6)
    await second.release()
  })

  test('int4 needs no calibration; both go with a step cache', async () => {
    const network = open({ quantize: 'int4', cache: { kind: 'deep', interval: 2 } })
    const run = network.begin()
    expect(network.needsCalibration()).toBe(false)
    const first = await run.predict(samples[0]!, 900, entries, { call: 0 })
    expect(quality(first, float[0]!)).toBeGreaterThan(15)
    expect(difference(await run.predict(samples[0]!, 900, entries, { call: 1 }), first)).toBeLessThan(1e-5)
    await network.release()
  })
})
