import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { openSafetensors, writeSafetensors } from '../../checkpoints/safetensors.ts'
import { input } from '../../core/tensor.ts'
import { ditConfig, ditTransformer, pixartConfig, pixartTransformer } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { Generator, NdArray } from '../../runtime/index.ts'
import type { Weights } from '../../runtime/weights.ts'
import { type BatchEntry, type Denoiser, denoiser } from '../parts/denoiser.ts'

const dir = mkdtempSync(join(tmpdir(), 'langevin-dit-bits-'))
beforeAll(() => {
  vi.stubEnv('LANGEVIN_CACHE', dir)
})
afterAll(() => {
  vi.unstubAllEnvs()
  rmSync(dir, { recursive: true })
})

const random = new Generator(4)
const shape = { num_attention_heads: 2, attention_head_dim: 32, num_layers: 2, sample_size: 16 }

/** Weights in a file: N(0, 1/inputs), those too that start from zero. */
function stored(p: Params, name: string): Weights {
  const drawn = [...p.initialise(random)].map(([key, value]) => {
    const width = value.shape.length > 1 ? value.size / (value.shape[0] as number) : 16
    return [key, random.randn(value.shape).mul(width ** -0.5)] as const
  })
  const file = join(dir, `${name}.safetensors`)
  writeSafetensors(file, new Map(drawn) as unknown as Weights)
  return openSafetensors(file).tensors
}

const dit = ditConfig({ ...shape, out_channels: 8, num_embeds_ada_norm: 10 })
const pixart = pixartConfig({ ...shape, caption_channels: 32, cross_attention_dim: 64, use_additional_conditions: false })
const sample = input('x', [2, 4, 16, 16])
const time = input('t', [2])

function ditWeights(): Weights {
  const p = new Params()
  ditTransformer(p, dit)(sample, time, input('labels', [2], 'i64'))
  return stored(p, 'dit')
}
function pixartWeights(): Weights {
  const p = new Params()
  pixartTransformer(p, pixart)(sample, time, { context: input('context', [2, 7, 32]) })
  return stored(p, 'pixart')
}

type Quantize = 'int8' | 'int4' | undefined
const networks = {
  dit: {
    open: (weights: Weights, quantize: Quantize): Denoiser =>
      denoiser(
        { className: 'DiTTransformer2DModel', config: dit, weights },
        (run, { sample, timestep, labels }) => run(sample as never, timestep as never, labels as never),
        {},
        { quantize },
      ),
    weights: ditWeights,
    entries: [3, 10].map((id): BatchEntry => ({ labels: new NdArray(BigInt64Array.of(BigInt(id)), [1], 'i64') })),
  },
  pixart: {
    open: (weights: Weights, quantize: Quantize): Denoiser =>
      denoiser(
        { className: 'PixArtTransformer2DModel', config: pixart, weights },
        (run, { sample, timestep, context }) => run(sample as never, timestep as never, { context: context as never }),
        {},
        { quantize },
      ),
    weights: pixartWeights,
    entries: [0, 1].map((): BatchEntry => ({ context: random.randn([1, 7, 32]) })),
  },
}

/** Signal to noise in dB. */
const quality = (a: NdArray, b: NdArray) =>
  10 * Math.log10(b.mul(b).mean().item() / Math.max(a.sub(b).mul(a.sub(b)).mean().item(), 1e-30))

describe.each(Object.entries(networks))('%s in few bits', (_, { open, weights, entries }) => {
  test.each([
    ['int8', 25],
    ['int4', 12],
  ] as const)('%s stays near the float network', async (quantize, least) => {
    const own = weights()
    const samples = [0, 1, 2].map(() => random.randn([2, 4, 16, 16]))
    const float = open(own, undefined)
    const right: NdArray[] = []
    for (const [i, x] of samples.entries()) right.push(await float.begin().predict(x, 900 - 300 * i, entries))
    await float.release()
    const network = open(own, quantize)
    if (network.needsCalibration())
      await network.calibrate([], async (run) => {
        for (const [i, x] of samples.entries()) await run.predict(x, 900 - 300 * i, entries)
      })
    const found = await network.begin().predict(samples[1] as NdArray<'f32'>, 600, entries)
    await network.release()
    const near = quality(found, right[1] as NdArray)
    expect(near).toBeGreaterThan(least)
    // What is no farther than rounding was never in few bits.
    expect(near).toBeLessThan(70)
  })
})
