import { expect, test } from 'vitest'
import { fixture, tensorOf } from '../../../tests/fixture.ts'
import { type Described, disagreements, keysOf } from '../../../tests/networks.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import { rotation } from '../../nn/positions.ts'
import { sd3ControlNet, sd3ControlNetConfig } from './controlnet.ts'
import { singleBlock } from './single-block.ts'

const diffusers = fixture('sd3_controlnet')
const cases: Record<string, Described> = JSON.parse(diffusers.metadata.cases as string)
const published: Record<string, Described> = JSON.parse(diffusers.metadata.published as string)

type Build = (p: Params, config: unknown) => (given: (key: string) => Tensor) => Record<string, Tensor>
const networks: Readonly<Record<string, Build>> = {
  SD3ControlNetModel: (p, value) => {
    const config = sd3ControlNetConfig(value)
    const network = sd3ControlNet(p, config)
    return (given) => {
      const context = config.joint_attention_dim === null ? undefined : given('context')
      const conditions = { control: given('control'), pooled: given('pooled'), context }
      const residuals = network(given('latents'), given('timestep'), conditions)
      return Object.fromEntries(residuals.map((residual, i) => [`residual ${i}`, residual]))
    }
  },
  FluxSingleTransformerBlock: (p) => {
    const block = singleBlock(p, { width: 16, heads: 2, form: 'parallel', qkNorm: 'rms_norm' })
    const ids = [...[0, 0, 0].map(() => [0, 0, 0]), [0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]]
    return (given) => ({ made: block(given('x'), given('condition'), rotation(ids, [2, 2, 4])) })
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
    const symbol = symbols.get(key) ?? input(key, tensorOf(diffusers, `${name}.${key}`).shape)
    symbols.set(key, symbol)
    return symbol
  })
  expect(await disagreements(diffusers, name, { p, symbols, outputs })).toEqual([])
})

test('text that the network does not take, and latents of the other form, are refused', () => {
  const config = sd3ControlNetConfig({ ...(cases.stability?.config as object), _class_name: undefined })
  const network = sd3ControlNet(new Params(), config)
  const given = { control: input('c', [1, 5, 8, 6]), pooled: input('p', [1, 6]) }
  expect(() => network(input('x', [1, 3, 8, 6]), input('t', [1]), given)).toThrow(
    'latents of rank 4; with use_pos_embed false it takes 3',
  )
  const context = input('text', [1, 5, 10])
  expect(() => network(input('x', [1, 12, 16]), input('t', [1]), { ...given, context })).toThrow('takes no text')
  expect(() => sd3ControlNetConfig({ joint_attention_dim: 8, attention_head_dim: 8, num_attention_heads: 2 }, 'x')).toThrow(
    'caption_projection_dim: is 1152; the blocks are 16 wide',
  )
})
