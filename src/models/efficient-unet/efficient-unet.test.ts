import { expect, test } from 'vitest'
import { fixture } from '../../../tests/fixture.ts'
import { type Described, disagreements, givenTo, keysOf } from '../../../tests/networks.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import { efficientUnet, efficientUnetConfig } from './index.ts'

const reference = fixture('efficient_unet')
const cases: Record<string, Described> = JSON.parse(reference.metadata.cases as string)

test.each(Object.entries(cases))(
  "%s: keys, output and gradients agree with what diffusers' layers make",
  async (name, described) => {
    const { config, ...keys } = described
    const p = new Params()
    const network = efficientUnet(p, efficientUnetConfig(config))
    const symbols = new Map(
      [...givenTo(reference, name, /^output$/)].map(([key, { shape, dtype }]) => [key, input(key, shape, dtype)]),
    )
    const { sample, timestep, context, ...extras } = Object.fromEntries(symbols) as Record<string, Tensor>
    const output = network(sample as Tensor, timestep as Tensor, context as Tensor, extras)
    expect(keysOf(p)).toEqual(keys)
    expect(await disagreements(reference, name, { p, symbols, outputs: { output } })).toEqual([])
  },
)

test('most of its weights lie at low resolutions, and the published widths are of the published size', () => {
  const p = new Params()
  efficientUnet(p, efficientUnetConfig({ encoder_hid_dim: 4096 }))
  // The paper says about 600 million for 64² → 256².
  expect(p.count / 1e6).toBeGreaterThan(450)
  expect(p.count / 1e6).toBeLessThan(750)
  const under = (prefix: string) =>
    [...p.tensors].filter(([key]) => key.startsWith(prefix)).reduce((sum, [, { size }]) => sum + size, 0)
  expect(under('down_blocks.0') + under('up_blocks.3')).toBeLessThan(0.02 * p.count)
  expect(under('down_blocks.3') + under('up_blocks.0')).toBeGreaterThan(0.6 * p.count)
})

test('what does not fit is told', () => {
  const faults = () => efficientUnetConfig({ encoder_hid_dim: 12, block_out_channels: [8, 8], attention: ['none'] })
  expect(faults).toThrow(/attention.*has 1 entries, block_out_channels has 2/)
  const small = { encoder_hid_dim: 8, block_out_channels: [8, 8], layers_per_block: 1, attention: 'none', norm_num_groups: 4 }
  const network = efficientUnet(new Params(), efficientUnetConfig(small))
  const [t, context, level] = [input('t', [1]), input('context', [1, 3, 8]), input('level', [1])]
  expect(() => network(input('x', [1, 6, 8, 8]), t, context)).toThrow('told the noise level')
  expect(() => network(input('x', [1, 6, 8, 9]), t, context, { classLabels: level })).toThrow('9 × 8 is no multiple of 2')
})
