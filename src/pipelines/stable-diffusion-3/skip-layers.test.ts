import { beforeAll, expect, test, vi } from 'vitest'
import { temporaryFolder } from '../../../tests/checkpoints.ts'
import { maxDifference } from '../../../tests/fixture.ts'
import { input } from '../../core/tensor.ts'
import { mmditConfig, mmditTransformer } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { Generator } from '../../runtime/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { Weights } from '../../runtime/weights.ts'
import { denoiser } from '../parts/denoiser.ts'
import { traceMmdit } from '../parts/mmdit.ts'
import { guidedWithSkips, skippingLayers } from './skip-layers.ts'

const config = mmditConfig({
  ...{ num_attention_heads: 4, attention_head_dim: 16, num_layers: 3, in_channels: 4, out_channels: 4, sample_size: 8 },
  ...{ caption_projection_dim: 64, joint_attention_dim: 64, pooled_projection_dim: 64, pos_embed_max_size: 6 },
})
const random = new Generator(5)
const p = new Params()
mmditTransformer(p, config)(input('x', [2, 4, 8, 8]), input('t', [2]), {
  context: input('c', [2, 7, 64]),
  pooled: input('p', [2, 64]),
})
// A network starts with gates and an end of zeros: every path has to matter here.
const weights: Weights = new Map(
  [...p.initialise(random)].map(([key, value]) => [key, value.add(random.randn(value.shape).mul(0.1))]),
)
const entries = [0, 1].map(() => ({ context: random.randn([1, 7, 64]), pooled: random.randn([1, 64]) }))
const sample = random.randn([2, 4, 8, 8])

const open = (quantize?: 'int8') =>
  denoiser({ className: 'SD3Transformer2DModel', config, weights }, traceMmdit(4), {}, { quantize })
const skipping = (quantize?: 'int8') =>
  skippingLayers(open(quantize), open(quantize), { layers: [1], steps: 10, start: 0.1, stop: 0.3 })

let plain: NdArray
beforeAll(async () => {
  plain = await open().begin().predict(sample, 500, entries)
})

test('the third entry is there strictly between the shares of the steps', async () => {
  const network = skipping()
  const run = network.begin()
  const sizes: number[] = []
  for (const call of [0, 1, 2, 3, 4])
    sizes.push((await run.predict(sample, 500, entries, { call, calls: 10 })).shape[0] as number)
  expect(sizes).toEqual([2, 2, 3, 2, 2])
  await network.release()
})

test('guidance adds how far the prompt is from the prompt without the blocks', async () => {
  const network = skipping()
  const output = (await network.begin().predict(sample, 500, entries, { call: 2, calls: 10 })) as NdArray<'f32'>
  const [negative, positive, less] = [0, 1, 2].map((i) => output.slice(0, i, i + 1)) as [NdArray, NdArray, NdArray]
  expect(maxDifference(output.slice(0, 0, 2), plain)).toBeLessThan(1e-5)
  expect(maxDifference(positive, less)).toBeGreaterThan(1e-3)
  const expected = negative.add(positive.sub(negative).mul(5)).add(positive.sub(less).mul(2.8))
  expect(maxDifference(guidedWithSkips(5, 2.8)(output, 500), expected)).toBeLessThan(1e-4)
  await network.release()
})

test('int8: both graphs find their ranges in one calibration', async () => {
  vi.stubEnv('LANGEVIN_CACHE', temporaryFolder())
  const network = skipping('int8')
  expect(network.needsCalibration()).toBe(true)
  await network.calibrate([], async (run) => {
    for (const call of [0, 1, 2, 3]) await run.predict(sample, 900 - 200 * call, entries, { call, calls: 4 })
  })
  expect(network.needsCalibration()).toBe(false)
  const [few, exact] = [network, skipping()].map((one) => one.begin().predict(sample, 500, entries, { call: 2, calls: 10 }))
  const [a, b] = [(await few) as NdArray, (await exact) as NdArray]
  const off = a.sub(b).square().mean().item() / b.square().mean().item()
  expect(off).toBeGreaterThan(1e-7)
  expect(off).toBeLessThan(0.01)
  await network.release()
  vi.unstubAllEnvs()
})
