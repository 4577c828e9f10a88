import { describe, expect, test } from 'vitest'
import { fixture, maxDifference, tensorOf } from '../../tests/fixture.ts'
import { grad, input, type Tensor } from '../core/index.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { evaluate } from '../runtime/program.ts'
import { Generator } from '../runtime/random.ts'
import { feedForward, gatedFeedForward } from './feed-forward.ts'
import { plainLayerNorm, rmsNorm } from './layers.ts'
import { gatedSum, modulate, modulation } from './modulation.ts'
import { Params } from './params.ts'
import { patchEmbedding, patchify, unpatchify } from './patches.ts'
import { centreCrop, gridIds, gridPositions, rotate, rotation, sinCosPositions } from './positions.ts'
import { relativeBias, relativeBucket } from './relative-bias.ts'
import { sinusoidal } from './time.ts'

const reference = fixture('transformer-layers')
const value = (name: string) => tensorOf(reference, name)

/** Greatest difference from the reference in a case's result and gradients, each relative to the greatest of its values. */
async function errorsOf(name: string, p: Params, apply: (...x: Tensor[]) => Tensor): Promise<number> {
  const inputs = ['input0', 'input1'].filter((i) => reference.tensors.has(`${name}/${i}`))
  const xs = inputs.map((i) => input(i, value(`${name}/${i}`).shape))
  const y = apply(...xs)
  const loss = y.mul(input('cotangent', y.shape)).sum()
  const keys = [...p.tensors.keys()]
  const prefix = `${name}/weight.`
  const stored = [...reference.tensors.keys()].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length))
  expect(keys.toSorted(), 'keys').toEqual(stored.toSorted())
  const gradients = grad(loss, [...xs, ...p.tensors.values()])
  const outputs = Object.fromEntries([['y', y], ...gradients.map((g, i) => [`gradient of ${[...inputs, ...keys][i]}`, g])])
  const weights = new Map(keys.map((key) => [key, value(prefix + key)]))
  const feeds = Object.fromEntries([...inputs, 'cotangent'].map((i) => [i, value(`${name}/${i}`)]))
  const found = await evaluate({ outputs, weights }, feeds)
  const wanted = (output: string) => {
    const key = output.slice('gradient of '.length)
    return value(
      output === 'y' ? `${name}/result` : key.startsWith('input') ? `${name}/gradient${key.slice(5)}` : `${name}/gradient.${key}`,
    )
  }
  return Math.max(
    ...Object.entries(found).map(([key, x]) => maxDifference(x, wanted(key)) / Math.max(1, wanted(key).abs().max().item())),
  )
}

describe('as diffusers and transformers have them, results and gradients', () => {
  const p = () => new Params()
  test.each([
    ['feed-forward gelu', { activation: 'gelu' }],
    ['feed-forward gelu-approximate', { activation: 'gelu_tanh' }],
    ['feed-forward geglu', { gated: true }],
    ['feed-forward swiglu', { activation: 'silu', gated: true }],
  ] as const)('%s', async (name, options) => {
    const params = p()
    expect(await errorsOf(name, params, feedForward(params, 8, { inner: 16, ...options }))).toBeLessThan(1e-5)
  })

  test('gated feed-forward of T5', async () => {
    const params = p()
    const layer = gatedFeedForward(params, 8, 12, { activation: 'gelu_tanh', keys: { value: 'wi_1', gate: 'wi_0', out: 'wo' } })
    expect(await errorsOf('gated T5', params, layer)).toBeLessThan(1e-5)
  })

  test('norms', async () => {
    const params = p()
    expect(await errorsOf('rms norm', params, rmsNorm(params, 8, 1e-6))).toBeLessThan(1e-5)
    expect(await errorsOf('plain layer norm', p(), plainLayerNorm())).toBeLessThan(1e-5)
  })

  test('modulation of a block', async () => {
    const params = p()
    const parts = modulation(params.at('norm'), 8, 8, 6)
    const norm = plainLayerNorm()
    const block = (x: Tensor, condition: Tensor) => {
      const [shift, scale, gate, shift2, scale2, gate2] = parts(condition) as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
      const a = gatedSum(x, gate, modulate(norm(x), shift, scale).tanh())
      return gatedSum(a, gate2, modulate(norm(a), shift2, scale2))
    }
    expect(await errorsOf('modulation', params, block as (...x: Tensor[]) => Tensor)).toBeLessThan(1e-5)
  })

  test('patches in and out', async () => {
    const params = p()
    expect(await errorsOf('patches', params, patchEmbedding(params.at('proj'), 3, 8, 2))).toBeLessThan(1e-5)
    expect(await errorsOf('unpatchify', p(), (x) => unpatchify(x, 3, 4, 2))).toBe(0)
  })

  test('positions of a grid', () => {
    expect(maxDifference(gridPositions(16, [6, 6], { base: 4 }), value('grid square'))).toBeLessThan(2e-7)
    expect(maxDifference(gridPositions(16, [4, 10], { base: 6, interpolationScale: 2 }), value('grid wide'))).toBeLessThan(2e-7)
  })

  test('rotary positions over three axes', async () => {
    const ids = value('ids').toNested() as number[][]
    const turned = rotation(ids, [2, 4, 6])
    expect(maxDifference(turned.cos, value('cos'))).toBeLessThan(2e-7)
    expect(maxDifference(turned.sin, value('sin'))).toBeLessThan(2e-7)
    expect(await errorsOf('rotary', p(), (x) => rotate(x, turned, 2))).toBeLessThan(1e-5)
  })

  test('buckets of every distance from −700 to 700', () => {
    const found = (bidirectional: boolean) => Array.from({ length: 1401 }, (_, i) => relativeBucket(i - 700, { bidirectional }))
    expect(found(true)).toEqual([...value('buckets both').data])
    expect(found(false)).toEqual([...value('buckets one').data])
  })

  test('time embeddings, with and without a shift of the frequencies', async () => {
    // Angles near 1000 are rounded to 6·10⁻⁵.
    for (const frequencyShift of [0, 1]) {
      const y = sinusoidal(input('t', [4]), 256, { cosineFirst: true, frequencyShift })
      const found = await evaluate({ y }, { t: NdArray.from([0, 1, 37.5, 999]) })
      expect(maxDifference(found.y as NdArray, value(`time ${frequencyShift}`))).toBeLessThan(1e-4)
    }
  })
})

test('patchify and unpatchify undo each other in both orders', async () => {
  const x = new Generator(0).randn([2, 3, 6, 8])
  for (const order of ['channels last', 'channels first'] as const) {
    const back = unpatchify(patchify(input('x', x.shape), 2, order), 3, 4, 2, order)
    expect(maxDifference((await evaluate({ back }, { x })).back as NdArray, x)).toBe(0)
  }
  expect(() => patchify(input('x', [1, 3, 5, 8]), 2)).toThrow('"x" [1, 3, 5, 8] does not divide into patches of 2×2')
  expect(() => unpatchify(input('x', [1, 12, 10]), 3, 4, 4)).toThrow('10 values do not make patches of 4×4')
})

test('a table of positions is cropped in its middle', async () => {
  const side = 5
  const table = NdArray.from(Array.from({ length: side ** 2 }, (_, i) => [i]))
  const { y } = await evaluate({ y: centreCrop(input('t', [side ** 2, 1]), side, [2, 3]) }, { t: table })
  expect([...(y as NdArray<'f32'>).data]).toEqual([6, 7, 8, 11, 12, 13])
  expect(() => centreCrop(input('t', [25, 1]), 5, [6, 2])).toThrow('positions of 6×2 patches: the table has 5×5')
})

test('rotary positions keep lengths, and scores depend on distances only', async () => {
  const scores = async (from: number) => {
    const turned = rotation([[from], [from + 3]], [8])
    const [q, k] = [new Generator(1), new Generator(2)].map((g) => g.randn([1, 2, 8])) as [NdArray<'f32'>, NdArray<'f32'>]
    const [Q, K] = [rotate(input('q', q.shape), turned, 1), rotate(input('k', k.shape), turned, 1)]
    const { score, length } = await evaluate(
      {
        score: Q.slice(1, 0, 1)
          .mul(K.slice(1, 1, 2))
          .sum(),
        length: Q.square().sum(),
      },
      { q, k },
    )
    expect(Math.abs((length as NdArray).item() - q.dot(q))).toBeLessThan(1e-5)
    return (score as NdArray).item()
  }
  expect(Math.abs((await scores(0)) - (await scores(40)))).toBeLessThan(1e-5)
  expect(() => rotation([[1, 2]], [8])).toThrow('a token has 2 coordinates, expected 1')
  expect(() => rotation([[1]], [7])).toThrow('must be even')
  expect(gridIds(2, 2)).toEqual([
    [0, 0, 0],
    [0, 0, 1],
    [0, 1, 0],
    [0, 1, 1],
  ])
  expect(sinCosPositions(4, 2).shape).toEqual([2, 4])
})

test('a relative bias has a score for every head, query and key, by distance', async () => {
  const p = new Params()
  const y = relativeBias(p.at('bias'), 3)(4, 6)
  const table = new Generator(0).randn([32, 3])
  const found = (await evaluate({ outputs: { y }, weights: new Map([['bias.weight', table]]) })).y as NdArray<'f32'>
  expect(found.shape).toEqual([1, 3, 4, 6])
  for (const [h, n, m] of [
    [0, 0, 0],
    [2, 3, 0],
    [1, 1, 5],
  ] as const)
    expect(found.data[(h * 4 + n) * 6 + m]).toBe(table.data[relativeBucket(m - n) * 3 + h])
})
