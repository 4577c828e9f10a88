import { expect, test } from 'vitest'
import { fixture, tensorOf } from '../../tests/fixture.ts'
import { type Described, disagreements, keysOf } from '../../tests/networks.ts'
import { input, type Tensor } from '../core/tensor.ts'
import { Params } from '../nn/params.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { evaluate } from '../runtime/program.ts'
import { Generator } from '../runtime/random.ts'
import { ditConfig, ditTransformer } from './dit/index.ts'
import { mmditConfig, mmditTransformer } from './mmdit/index.ts'
import { pixartConfig, pixartTransformer } from './pixart/index.ts'

const diffusers = fixture('transformers2d')
const cases: Record<string, Described> = JSON.parse(diffusers.metadata.cases as string)
const published: Record<string, Described> = JSON.parse(diffusers.metadata.published as string)

type Build = (p: Params, config: unknown) => (given: (key: string) => Tensor) => Record<string, Tensor>
const networks: Readonly<Record<string, Build>> = {
  DiTTransformer2DModel: (p, config) => {
    const network = ditTransformer(p, ditConfig(config))
    return (given) => ({ made: network(given('sample'), given('timestep'), given('labels')) })
  },
  PixArtTransformer2DModel: (p, config) => {
    const network = pixartTransformer(p, pixartConfig(config))
    return (given) => {
      const [context, contextMask] = [given('context'), given('mask')]
      const sized = (config as { use_additional_conditions: boolean }).use_additional_conditions
      const sizes = sized ? { resolution: given('resolution'), aspectRatio: given('ratio') } : {}
      return { made: network(given('sample'), given('timestep'), { context, contextMask, ...sizes }) }
    }
  },
  SD3Transformer2DModel: (p, config) => {
    const network = mmditTransformer(p, mmditConfig(config))
    return (given) => {
      const conditions = { context: given('context'), pooled: given('pooled') }
      const [sample, timestep] = [given('sample'), given('timestep')]
      const residuals = [given('residual 0'), given('residual 1')]
      return {
        made: network(sample, timestep, conditions),
        controlled: network(sample, timestep, { ...conditions, residuals, skipLayers: [1] }),
      }
    }
  },
}
const networkOf = ({ config }: Described) => networks[(config as { _class_name: string })._class_name] as Build

test.each(Object.entries({ ...cases, ...published }))('%s has the keys, shapes and parameters of diffusers', (_, one) => {
  const { config, ...keys } = one
  const p = new Params()
  networkOf(one)(p, config)
  expect(keysOf(p)).toEqual(keys)
})

test.each(Object.entries(cases))('%s: outputs and gradients agree with diffusers', async (name, one) => {
  const p = new Params()
  const symbols = new Map<string, Tensor>()
  const outputs = networkOf(one)(p, one.config)((key) => {
    const { shape } = tensorOf(diffusers, `${name}.${key}`)
    const symbol = symbols.get(key) ?? input(key, shape, key === 'labels' ? 'i64' : 'f32')
    symbols.set(key, symbol)
    return symbol
  })
  expect(await disagreements(diffusers, name, { p, symbols, outputs })).toEqual([])
})

test('a new block is the identity, and a new network predicts nothing (adaLN-Zero)', async () => {
  const p = new Params()
  const config = ditConfig({
    num_attention_heads: 2,
    attention_head_dim: 8,
    num_layers: 2,
    sample_size: 4,
    num_embeds_ada_norm: 3,
  })
  const made = ditTransformer(p, config)(input('x', [1, 4, 4, 4]), input('t', [1]), input('label', [1], 'i64'))
  const weights = p.initialise(new Generator(0))
  for (const [key, value] of weights) if (/norm1\.linear\./.test(key)) expect(value.abs().max().item(), key).toBe(0)
  const feeds = { x: new Generator(1).randn([1, 4, 4, 4]), t: NdArray.full([1], 9), label: NdArray.full([1], 2).cast('i64') }
  const found = await evaluate({ outputs: { made }, weights }, feeds)
  expect((found.made as NdArray).abs().max().item()).toBe(0)
})

test('what cannot be followed is named', () => {
  expect(() => mmditConfig({ attention_head_dim: 8, num_attention_heads: 2 }, 'x')).toThrow(
    'caption_projection_dim: is 1152; the blocks are 16 wide',
  )
  expect(() => ditConfig({ norm_type: 'layer_norm' }, 'x')).toThrow('norm_type')
  const p = new Params()
  const network = mmditTransformer(p, mmditConfig({ ...(cases.sd3?.config as object), _class_name: undefined }))
  const conditions = { context: input('c', [1, 2, 10]), pooled: input('p', [1, 6]) }
  expect(() => network(input('x', [1, 3, 16, 4]), input('t', [1]), conditions)).toThrow('the table has 6×6')
})
