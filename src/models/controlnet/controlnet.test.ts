import { expect, test } from 'vitest'
import { fixture, maxDifference } from '../../../tests/fixture.ts'
import { type Described, disagreements, givenTo, keysOf } from '../../../tests/networks.ts'
import { constant, input, type Tensor } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { evaluate } from '../../runtime/program.ts'
import { Generator } from '../../runtime/random.ts'
import { ModelConfigError } from '../config.ts'
import { unet2dCondition, unet2dConditionConfig } from '../unet-condition/index.ts'
import {
  type Control,
  controlNet,
  controlNetConfig,
  controlNetWeights,
  controlScales,
  scaleControl,
  sumControl,
  t2iAdapter,
  t2iAdapterConfig,
} from './index.ts'

const diffusers = fixture('controlnet')
const cases: Record<string, Described> = JSON.parse(diffusers.metadata.cases as string)
const published: Record<string, Described> = JSON.parse(diffusers.metadata.published as string)
const isControl = ({ config }: Described) => (config as { _class_name: string })._class_name === 'ControlNetModel'

/** Residuals under the fixture's names. */
const named = ({ down, mid }: Control, prefix = ''): Record<string, Tensor> => ({
  ...Object.fromEntries(down.map((x, i) => [`${prefix}down.${i}`, x])),
  [`${prefix}mid`]: mid,
})

test.each(Object.entries({ ...cases, ...published }))('%s has the keys, shapes and parameters of diffusers', (_, described) => {
  const { config, ...keys } = described
  const p = new Params()
  if (isControl(described)) controlNet(p, controlNetConfig(config))
  else t2iAdapter(p, t2iAdapterConfig(config))
  expect(keysOf(p)).toEqual(keys)
})

test.each(Object.entries(cases))('%s: residuals or features, and gradients, agree with diffusers', async (name, described) => {
  const p = new Params()
  const given = givenTo(diffusers, name, /^(down|mid|feature|guessed )/)
  const symbols = new Map([...given].map(([key, { shape, dtype }]) => [key, input(key, shape, dtype)]))
  const { sample, timestep, context, hint, image, ...extras } = Object.fromEntries(symbols) as Record<string, Tensor>
  let outputs: Record<string, Tensor>
  if (isControl(described)) {
    const config = controlNetConfig(described.config)
    const network = controlNet(p, config)
    const control = network(sample as Tensor, timestep as Tensor, context as Tensor, hint as Tensor, extras)
    const scales = constant(controlScales(config, 0.7, { guess: true }))
    outputs = { ...named(control), ...named(scaleControl(control, scales), 'guessed ') }
  } else {
    const features = t2iAdapter(p, t2iAdapterConfig(described.config))(image as Tensor)
    outputs = Object.fromEntries(features.map((x, i) => [`feature.${i}`, x]))
  }
  expect(await disagreements(diffusers, name, { p, symbols, outputs })).toEqual([])
})

test('scales: the same for all, or from a tenth to the whole in guess mode', () => {
  const config = controlNetConfig(cases.control?.config)
  expect(controlScales(config, 0.5)).toEqual([0.5, 0.5, 0.5, 0.5, 0.5])
  const guess = controlScales(config, 1, { guess: true })
  expect(guess[0]).toBeCloseTo(0.1, 12)
  expect(guess[2]).toBeCloseTo(Math.sqrt(0.1), 12)
  expect(guess[4]).toBe(1)
  expect(controlScales({ ...config, global_pool_conditions: true }, 2, { guess: true })).toEqual([2, 2, 2, 2, 2])
})

/** A small U-Net with a ControlNet, whose parameters begin with `control.` so that one graph may hold both. */
function controlled() {
  const fields = {
    block_out_channels: [4, 8],
    norm_num_groups: 2,
    layers_per_block: 1,
    cross_attention_dim: 6,
    attention_head_dim: 2,
    down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'],
  }
  const unet = new Params()
  const network = unet2dCondition(unet, unet2dConditionConfig({ ...fields, up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D'] }))
  const config = controlNetConfig({ ...fields, conditioning_embedding_out_channels: [4, 4] })
  const hinted = controlNet(new Params('control'), config)
  const shapes = { sample: [1, 4, 4, 4], timestep: [1], context: [1, 3, 6], hint: [1, 3, 8, 8] }
  const symbols = Object.entries(shapes).map(([key, shape]) => input(key, shape)) as [Tensor, Tensor, Tensor, Tensor]
  const feeds = Object.fromEntries(Object.entries(shapes).map(([key, shape], i) => [key, new Generator(i).randn(shape)]))
  return { unet, network, config, hinted, symbols, feeds }
}

test('before training a ControlNet changes nothing, bit for bit; its copies are the weights of the U-Net', async () => {
  const { unet, network, config, hinted, symbols, feeds } = controlled()
  const [sample, timestep, context, hint] = symbols
  const { down, mid } = hinted(sample, timestep, context, hint)
  const plain = network(sample, timestep, context)
  const outputs = { plain, steered: network(sample, timestep, context, { downResiduals: down, midResidual: mid }) }

  const base = unet.initialise(new Generator(1))
  const p = new Params()
  controlNet(p, config)
  const start = [...controlNetWeights(p, base, new Generator(2))] as [string, NdArray][]
  const copied = start.filter(([key]) => unet.tensors.has(key))
  expect(copied.length).toBe([...unet.tensors.keys()].filter((key) => !/^(up_blocks|conv_norm_out|conv_out)/.test(key)).length)
  expect(copied.every(([key, value]) => value === base.get(key))).toBe(true)

  const difference = async (control: [string, NdArray][]) => {
    const weights = new Map([...base, ...control.map(([key, value]) => [`control.${key}`, value] as const)])
    const found = await evaluate({ outputs, weights }, feeds, { threads: 1 })
    return maxDifference(found.plain as NdArray, found.steered as NdArray)
  }
  expect(await difference(start)).toBe(0)
  const awake = start.map(([key, value]): [string, NdArray] => [
    key,
    key.startsWith('controlnet') ? new Generator(3).randn(value.shape) : value,
  ])
  expect(await difference(awake)).toBeGreaterThan(0.01)
})

test('controls add up', async () => {
  const control = (name: string): Control => ({ down: [input(`${name}0`, [1, 2, 2, 2])], mid: input(`${name}1`, [1, 2, 1, 1]) })
  const { down, mid } = sumControl([control('a'), control('b'), control('c')])
  const feeds = Object.fromEntries(
    ['a', 'b', 'c'].flatMap((name, i) => [
      [`${name}0`, NdArray.full([1, 2, 2, 2], 10 ** i)],
      [`${name}1`, NdArray.full([1, 2, 1, 1], 2 * 10 ** i)],
    ]),
  )
  const found = await evaluate({ down: down[0] as Tensor, mid }, feeds)
  expect([found.down?.min().item(), found.down?.max().item(), found.mid?.max().item()]).toEqual([111, 111, 222])
  expect(() => sumControl([])).toThrow('no controls')
})

test('configs and calls that do not fit say what would', () => {
  const faults = (make: () => unknown) => {
    try {
      make()
    } catch (error) {
      expect(error).toBeInstanceOf(ModelConfigError)
      return (error as ModelConfigError).faults.map(({ field }) => field)
    }
    return []
  }
  const wrong = { class_embed_type: 'simple_projection', up_block_types: [], attention_head_dim: [8] }
  expect(faults(() => controlNetConfig(wrong))).toEqual(['up_block_types', 'class_embed_type'])
  expect(faults(() => controlNetConfig({ attention_head_dim: [8] }))).toEqual(['attention_head_dim'])
  expect(faults(() => t2iAdapterConfig({ adapter_type: 'light_adapter', channels: [2] }))).toEqual(['channels'])
  const { hinted, symbols } = controlled()
  const [sample, timestep, context] = symbols
  expect(() => hinted(sample, timestep, context, input('hint', [1, 3, 32, 32]))).toThrow('expected H = 8')
  const adapter = t2iAdapter(new Params(), t2iAdapterConfig(cases.full?.config))
  expect(() => adapter(input('image', [1, 3, 16, 20]))).toThrow('multiples of 8')
})
