import { expect, test } from 'vitest'
import { fixture, maxDifference, tensorOf } from '../../../tests/fixture.ts'
import { type Described, keysOf, weightsOf } from '../../../tests/networks.ts'
import { ArgumentError } from '../../core/errors.ts'
import { vjp } from '../../core/grad.ts'
import { input } from '../../core/tensor.ts'
import { DropoutMasks } from '../../nn/dropout.ts'
import { Params } from '../../nn/params.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { evaluate } from '../../runtime/program.ts'
import { Generator } from '../../runtime/random.ts'
import { ModelConfigError } from '../config.ts'
import { unet2d, unet2dConfig } from './index.ts'

const diffusers = fixture('unet')
const seed = Number(diffusers.metadata.seed)
const cases: Record<string, Described> = JSON.parse(diffusers.metadata.cases as string)
const published: Record<string, Described> = JSON.parse(diffusers.metadata.published as string)

test.each(Object.entries({ ...cases, ...published }))('%s has the keys, shapes and parameters of diffusers', (_, described) => {
  const { config, ...keys } = described
  const p = new Params()
  unet2d(p, unet2dConfig(config))
  expect(keysOf(p)).toEqual(keys)
})

test.each(Object.entries(cases))('%s: output and every gradient agree with diffusers', async (name, described) => {
  const config = unet2dConfig(described.config)
  const p = new Params()
  const network = unet2d(p, config)
  const value = (key: string) => tensorOf(diffusers, `${name}.${key}`)
  const feeds: Record<string, NdArray> = { sample: value('sample'), timestep: value('timestep'), cotangent: value('cotangent') }
  const hasLabels = diffusers.tensors.has(`${name}.labels`)
  const byClass = config.class_embed_type === null
  if (hasLabels) feeds.labels = value('labels').cast(byClass ? 'i64' : 'f32')
  const symbols = Object.fromEntries(Object.entries(feeds).map(([key, { shape, dtype }]) => [key, input(key, shape, dtype)]))
  const { sample, timestep, labels, cotangent } = symbols as Record<
    'sample' | 'timestep' | 'labels' | 'cotangent',
    ReturnType<typeof input>
  >

  const output = network(sample, timestep, hasLabels ? labels : undefined)
  const wrt = new Map([['sample', sample], ...p.tensors])
  const gradients = vjp([output], [...wrt.values()], [cotangent])
  const names = [...wrt.keys()].map((key) => `grad ${key}`)
  const outputs = { output, ...Object.fromEntries(names.map((key, i) => [key, gradients[i]])) } as Record<string, typeof output>
  const found = await evaluate({ outputs, weights: weightsOf(p, seed) }, feeds, { threads: 1 })

  expect(maxDifference(found.output as NdArray, value('output'))).toBeLessThanOrEqual(1e-4 * value('output').abs().max().item())
  const frozen = config.time_embedding_type === 'fourier' ? ['grad time_proj.weight'] : []
  for (const key of frozen) expect(found[key]?.abs().max().item()).toBe(0)
  const compared = names.filter((key) => !frozen.includes(key))
  expect(compared.length).toBe([...diffusers.tensors.keys()].filter((key) => key.startsWith(`${name}.grad `)).length)
  const largest = new Map(compared.map((key) => [key, value(key).abs().max().item()]))
  const overall = Math.max(...largest.values())
  const errors = compared.map((key) => {
    // A constant added to every key leaves the softmax alone: this gradient is zero but for rounding, in both.
    const scale = key.endsWith('to_k.bias') ? 0.01 * overall : (largest.get(key) as number)
    return [key, maxDifference(found[key] as NdArray, value(key)) / scale] as const
  })
  expect(errors.filter(([, error]) => !(error <= 1e-4))).toEqual([])
})

const small = {
  block_out_channels: [4, 4],
  down_block_types: ['DownBlock2D', 'DownBlock2D'],
  up_block_types: ['UpBlock2D', 'UpBlock2D'],
}
const tiny = { ...small, norm_num_groups: 2, layers_per_block: 1, attention_head_dim: null }

test('a config is refused with every fault, and with what is known', () => {
  const faults = (fields: object) => {
    try {
      return unet2dConfig(fields)
    } catch (error) {
      expect(error).toBeInstanceOf(ModelConfigError)
      return Object.fromEntries((error as ModelConfigError).faults.map(({ field, message }) => [field, message]))
    }
  }
  const found = faults({
    ...tiny,
    _class_name: 'VQModel',
    layers: 2,
    norm_eps: 0,
    down_block_types: ['DownBlock2D', 'KDownBlock2D'],
  })
  expect(Object.keys(found)).toEqual(['_class_name', 'layers', 'down_block_types.1', 'norm_eps'])
  expect(found).toMatchObject({
    _class_name: 'is "VQModel", expected "UNet2DModel"',
    layers: expect.stringContaining('layers_per_block'),
    'down_block_types.1': expect.stringContaining('AttnSkipDownBlock2D'),
  })
  expect(faults({ ...tiny, block_out_channels: [4] })).toEqual({
    down_block_types: 'has 2 blocks, block_out_channels has 1',
    up_block_types: 'has 2 blocks, block_out_channels has 1',
  })
  expect(faults({ ...tiny, norm_num_groups: null })).toEqual({ norm_num_groups: 'DownBlock2D needs a number of groups' })
  expect(faults({ ...tiny, time_embedding_type: 'learned' })).toHaveProperty('num_train_timesteps')
  expect(faults({ ...tiny, in_channels: 1, down_block_types: ['SkipDownBlock2D', 'DownBlock2D'] })).toHaveProperty('in_channels')
  const kept = faults({ ...tiny, _class_name: 'UNet2DModel', _diffusers_version: '0.0.4', decay: 0.9999, optimization_step: 7 })
  expect(kept).toEqual(unet2dConfig(tiny))
  expect(() => unet2dConfig('DDPM')).toThrow(ModelConfigError)
})

test('a call that does not fit the network says what would', () => {
  const sample = input('sample', [2, 3, 8, 8])
  const timestep = input('timestep', [2])
  const network = unet2d(new Params(), unet2dConfig(tiny))
  const byClass = unet2d(new Params(), unet2dConfig({ ...tiny, num_class_embeds: 3 }))
  expect(network(sample, timestep).shape).toEqual([2, 3, 8, 8])
  expect(() => network(input('sample', [2, 3, 8, 7]), timestep)).toThrow('multiples of 2')
  expect(() => network(input('sample', [2, 4, 8, 8]), timestep)).toThrow('expected C = 3')
  expect(() => network(sample, input('timestep', [1]))).toThrow('expected B = 2')
  expect(() => network(sample, timestep, input('labels', [2], 'i64'))).toThrow(ArgumentError)
  expect(() => byClass(sample, timestep)).toThrow(ArgumentError)
  expect(() => unet2d(new Params(), unet2dConfig({ ...tiny, attention_head_dim: 8 }))).toThrow('no head of 8 fits')
})

test('dropout acts where a training graph asks for it, and nowhere else', async () => {
  const config = unet2dConfig({ ...tiny, dropout: 0.5 })
  const draw = (masks?: DropoutMasks) => {
    const p = new Params()
    const network = unet2d(p, config, masks ? { dropout: masks.dropout } : {})
    return { y: network(input('sample', [1, 3, 8, 8]), input('timestep', [1])), weights: weightsOf(p, seed) }
  }
  const run = async ({ y, weights }: ReturnType<typeof draw>, masks = {}) => {
    const feeds = { sample: new Generator(1).randn([1, 3, 8, 8]), timestep: new Generator(2).rand([1]), ...masks }
    return (await evaluate({ outputs: { y }, weights }, feeds)).y as NdArray
  }
  const masks = new DropoutMasks()
  const trained = draw(masks)
  const [plain, first, again, other] = [
    await run(draw()),
    await run(trained, masks.draw(new Generator(3))),
    await run(trained, masks.draw(new Generator(3))),
    await run(trained, masks.draw(new Generator(4))),
  ]
  expect(maxDifference(first, again)).toBe(0)
  expect(maxDifference(first, other)).toBeGreaterThan(0.01)
  expect(maxDifference(first, plain)).toBeGreaterThan(0.01)
})
