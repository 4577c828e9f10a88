import { expect, test } from 'vitest'
import { fixture, tensorOf } from '../../tests/fixture.ts'
import { type Described, disagreements, keysOf } from '../../tests/networks.ts'
import type { Shape } from '../core/shape.ts'
import { input } from '../core/tensor.ts'
import type { Layer } from '../nn/layers.ts'
import { Params } from '../nn/params.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { evaluate } from '../runtime/program.ts'
import { Generator } from '../runtime/random.ts'
import { ModelConfigError } from './config.ts'
import { renameEsrgan, rrdbNet, rrdbNetConfig, rrdbNetConfigOf } from './rrdbnet/index.ts'
import { srvggConfig, srvggConfigOf, srvggNet } from './srvgg/index.ts'
import { swin2Sr, swin2SrConfig, swin2SrConfigOf } from './swin2sr/index.ts'
import { isSwinBuffer, swinIr, swinIrConfig, swinIrConfigOf } from './swinir/index.ts'

const reference = fixture('upscalers')
const cases: Record<string, Described> = JSON.parse(reference.metadata.cases as string)
const published: Record<string, Described> = JSON.parse(reference.metadata.published as string)

interface Network {
  readonly build: (p: Params, config: unknown) => Layer
  readonly read: (config: unknown) => unknown
  readonly fromShapes: (shapes: ReadonlyMap<string, Shape>, place: string) => unknown
}
const networks: Readonly<Record<string, Network>> = {
  RRDBNet: { build: (p, config) => rrdbNet(p, rrdbNetConfig(config)), read: rrdbNetConfig, fromShapes: rrdbNetConfigOf },
  SRVGGNetCompact: { build: (p, config) => srvggNet(p, srvggConfig(config)), read: srvggConfig, fromShapes: srvggConfigOf },
  Swin2SR: { build: (p, config) => swin2Sr(p, swin2SrConfig(config)), read: swin2SrConfig, fromShapes: swin2SrConfigOf },
  SwinIR: { build: (p, config) => swinIr(p, swinIrConfig(config)), read: swinIrConfig, fromShapes: swinIrConfigOf },
}
const networkOf = ({ config }: Described) => networks[(config as { _class_name: string })._class_name] as Network

test.each(Object.entries({ ...cases, ...published }))('%s has the keys, shapes and parameters of the reference', (_, one) => {
  const { config, ...keys } = one
  const p = new Params()
  networkOf(one).build(p, config)
  expect(keysOf(p)).toEqual(keys)
})

test('the published networks have their published sizes', () => {
  const sizes = Object.fromEntries(Object.entries(published).map(([name, { parameters }]) => [name, parameters]))
  expect(sizes).toMatchObject({
    RealESRGAN_x4plus: 16_697_987,
    RealESRGAN_x2plus: 16_703_171,
    RealESRGAN_x4plus_anime_6B: 4_467_779,
    'realesr-animevideov3': 621_424,
    'realesr-general-x4v3': 1_213_296,
    classicalSR_x4: 11_900_199,
    lightweightSR_x4: 929_628,
    realSR_M_x4: 11_715_559,
    realSR_L_x4: 28_013_059,
    colorDN: 11_504_163,
    jpegCAR: 11_485_585,
    Swin2SR_ClassicalSR_X4_64: 12_239_283,
    Swin2SR_Lightweight_X2_64: 1_005_348,
  })
})

test.each(Object.entries(published))('the config of %s is read from its shapes', (_, one) => {
  const p = new Params()
  networkOf(one).build(p, one.config)
  const shapes = new Map([...p.tensors].map(([key, { shape }]) => [key, shape]))
  const { img_size: _size, ...expected } = networkOf(one).read(one.config) as Record<string, unknown>
  expect(networkOf(one).fromShapes(shapes, 'a file')).toMatchObject(expected)
})

test.each(Object.entries(cases))('%s: pictures and gradients agree with the reference', async (name, one) => {
  const p = new Params()
  const images = input('images', tensorOf(reference, `${name}.images`).shape)
  const made = networkOf(one).build(p, one.config)(images)
  const found = await disagreements(reference, name, { p, symbols: new Map([['images', images]]), outputs: { made } })
  expect(found).toEqual([])
})

test('a file that lacks what tells its config is refused by the key', () => {
  const shapes = new Map([['conv_first.weight', [64, 3, 3, 3]]])
  expect(() => rrdbNetConfigOf(shapes, 'x.pth')).toThrow(ModelConfigError)
  expect(() => rrdbNetConfigOf(shapes, 'x.pth')).toThrow(
    'x.pth: the config cannot be followed\n  conv_last.weight: is not in the file',
  )
  expect(() => swinIrConfigOf(shapes, 'x.pth')).toThrow(/layers|relative_position_bias_table/)
  expect(() => swinIrConfig({ upscale: 4 })).toThrow('without an upsampler it must be 1')
})

test('keys of the first ESRGAN are read as RRDBNet names them', () => {
  expect(
    ['model.0.weight', 'model.1.sub.3.RDB2.conv5.0.bias', 'model.1.sub.23.weight', 'model.8.bias'].map(renameEsrgan),
  ).toEqual(['conv_first.weight', 'body.3.rdb2.conv5.bias', 'conv_body.weight', 'conv_hr.bias'])
  expect(renameEsrgan('conv_up1.bias')).toBe('conv_up1.bias')
  expect(isSwinBuffer('layers.0.residual_group.blocks.1.attn_mask')).toBe(true)
})

test('a change in one window reaches no pixel that windows and their shift keep from it', async () => {
  const config = swinIrConfig({
    depths: [2],
    num_heads: [2],
    embed_dim: 8,
    window_size: 4,
    img_size: 16,
    upscale: 1,
    mlp_ratio: 2,
  })
  const p = new Params()
  const images = input('images', [1, 3, 16, 16])
  const made = swinIr(p, config)(images)
  const weights = p.initialise(new Generator(0))
  const picture = new Generator(1).rand([1, 3, 16, 16])
  const changed = new NdArray(picture.data.slice(), picture.shape, 'f32')
  changed.data[0] = 5 // The corner's window, which the roll brings together with the far corner's.
  const run = async (values: NdArray) => (await evaluate({ outputs: { made }, weights }, { images: values })).made as NdArray
  const difference = (await run(changed))
    .sub(await run(picture))
    .abs()
    .max({ axes: [0, 1] })
  // Shifted windows end at 2, 6, …; before them windows end at 4, convolutions widen by one each: 3 in all.
  const beyond = difference.slice(0, 10).max().item()
  expect(difference.slice(0, 0, 4).max().item()).toBeGreaterThan(1e-3)
  expect(beyond).toBeLessThan(1e-6)
})
