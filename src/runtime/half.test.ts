import { expect, test } from 'vitest'
import { embedding } from '../core/functions.ts'
import { lower } from '../core/onnx/lower.ts'
import { input } from '../core/tensor.ts'
import { conv, linear } from '../nn/layers.ts'
import { normal, Params } from '../nn/params.ts'
import { NdArray } from './ndarray.ts'
import { evaluate } from './program.ts'
import { Generator } from './random.ts'

const p = new Params()
const table = p.at('tokens').get('weight', [1000, 64], normal(1))
const tokens = embedding(table, input('index', [8], 'i64'))
const product = linear(p.at('up'), 64, 1024)(tokens)
const picture = (side: number, name: string) => conv(p.at(name), 64, 64, 3, { padding: 1 })(input(name, [1, 64, side, side]))
const outputs = { product, 'small y': picture(16, 'small'), 'large y': picture(64, 'large') }
const weights = new Map([...p.initialise(new Generator(0))].map(([key, value]) => [key, value.cast('f16')]))
const random = new Generator(1)
const feeds = {
  index: new NdArray(BigInt64Array.from([0, 999, 5, 7, 7, 123, 500, 1].map(BigInt)), [8], 'i64'),
  small: random.randn([1, 64, 16, 16]),
  large: random.randn([1, 64, 64, 64]),
}

test.each(['f16', 'bf16'] as const)('weights kept in %s give what widened ones give', async (dtype) => {
  const stored = new Map([...weights].map(([key, value]) => [key, value.cast(dtype)]))
  const [size, speed] = await Promise.all(
    (['size', 'speed'] as const).map((memory) => evaluate({ outputs, weights: stored }, feeds, { memory })),
  )
  for (const name of Object.keys(outputs)) {
    const difference = size![name]!.sub(speed![name]!).abs().max().item()
    expect(difference).toBeLessThan(1e-5 * speed![name]!.abs().max().item())
  }
})

test('kept weights are in the graph as they are stored, each cast before all else; of a table only the rows that are read', () => {
  const { model, packing } = lower({ outputs, weights }, { target: 'cpu', channelBlock: 8, packs: true, keepHalf: true })
  const { node, initializer } = model.graph
  const half = initializer.filter(({ dataType }) => dataType === 10).map(({ name }) => name)
  expect(half.sort()).toEqual(['large.weight', 'small.weight', 'tokens.weight', 'up.weight'])
  expect(packing.map(({ packing: { form } }) => form)).toEqual(['f32', 'f32', 'f32'])
  const first = node.slice(0, 3).map(({ opType, input: [name] }) => `${opType} ${name}`)
  expect(first.sort()).toEqual(['Cast large.weight', 'Cast small.weight', 'Cast up.weight'])
  expect(node.find(({ input: [name] }) => name === 'tokens.weight')?.opType).toBe('Gather')
})
