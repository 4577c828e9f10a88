import { expect, test } from 'vitest'
import { maxDifference } from '../../../tests/fixture.ts'
import { input } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { evaluate } from '../../runtime/program.ts'
import { Generator } from '../../runtime/random.ts'
import { filmGeometry, geometryOf, onFilms, patchesOf, videoDit, videoDitConfig } from './index.ts'

const config = videoDitConfig({
  ...{ in_channels: 3, patch_size: 2, num_layers: 2, num_attention_heads: 2, attention_head_dim: 16 },
  ...{ joint_attention_dim: 6, pooled_projection_dim: 5 },
})
const draw = new Generator(1)
const conditions = { context: draw.randn([1, 4, 6]), pooled: draw.randn([1, 5]), rate: NdArray.from([8]) }

/** Weights of which none are zero. */
function weightsOf(p: Params) {
  const generator = new Generator(2)
  return new Map(
    [...p.initialise(new Generator(0))].map(([key, value]) => [
      key,
      value.add(generator.randn(value.shape).mul(0.1)).cast('f32'),
    ]),
  )
}

async function whole(sample: NdArray<'f32'>, t: number, given: readonly number[]) {
  const p = new Params()
  const T = sample.shape[2] as number
  const made = onFilms(videoDit(p, config), config)(input('x', sample.shape), input('t', [1]), {
    ...{
      context: input('context', [1, 4, 6]),
      pooled: input('pooled', [1, 5]),
      rate: input('rate', [1]),
      given: input('given', [1, T]),
    },
  })
  const marks = Float32Array.from({ length: T }, (_, i) => (given.includes(i) ? 1 : 0))
  const feeds = { x: sample, t: NdArray.from([t]), given: new NdArray(marks, [1, T], 'f32'), ...conditions }
  return (await evaluate({ outputs: { made }, weights: weightsOf(p) }, feeds)).made as NdArray<'f32'>
}

test('a fresh network predicts nothing', async () => {
  const p = new Params()
  const made = onFilms(videoDit(p, config), config)(input('x', [1, 3, 2, 4, 4]), input('t', [1]), {
    ...{
      context: input('context', [1, 4, 6]),
      pooled: input('pooled', [1, 5]),
      rate: input('rate', [1]),
      given: input('given', [1, 2]),
    },
  })
  const feeds = {
    x: new Generator(0).randn([1, 3, 2, 4, 4]),
    t: NdArray.from([500]),
    given: NdArray.zeros([1, 2], 'f32'),
    ...conditions,
  }
  const found = (await evaluate({ outputs: { made }, weights: p.initialise(new Generator(0)) }, feeds)).made as NdArray
  expect(found.abs().max().item()).toBe(0)
})

test('films of other lengths, sizes and aspects packed with padding are as each by itself', async () => {
  const films = [draw.randn([3, 3, 4, 6]), draw.randn([3, 1, 6, 2])] as NdArray<'f32'>[]
  const count = 20
  const half = config.attention_head_dim / 2
  const rows = films.map((film) => {
    const n = geometryOf(film.shape, config).reduce((a, b) => a * b)
    const pad = <A extends NdArray>(x: A, value = 0) =>
      NdArray.concat([x, NdArray.full([count - n, x.shape[1] as number], value)])
    const { cos, sin } = filmGeometry(geometryOf(film.shape, config), config)
    const present = Float32Array.from({ length: count }, (_, i) => (i < n ? 1 : 0))
    // What padding holds must not matter.
    return {
      n,
      tokens: pad(patchesOf(film, config), 7),
      cos: pad(cos, 1),
      sin: pad(sin),
      present: new NdArray(present, [1, count], 'f32'),
    }
  })
  const p = new Params()
  const made = videoDit(p, config)(
    {
      tokens: input('tokens', [2, count, 12]),
      ...{ time: input('time', [2, count]), cos: input('cos', [2, count, half]), sin: input('sin', [2, count, half]) },
      present: input('present', [2, count]),
    },
    { context: input('context', [2, 4, 6]), pooled: input('pooled', [2, 5]), rate: input('rate', [2]) },
  )
  const both = (x: NdArray) => NdArray.concat([x, x])
  const stacked = (of: (row: (typeof rows)[number]) => NdArray) =>
    NdArray.concat(rows.map((row) => of(row).reshape([1, count, -1])))
  const feeds = {
    ...{ tokens: stacked(({ tokens }) => tokens), cos: stacked(({ cos }) => cos), sin: stacked(({ sin }) => sin) },
    present: NdArray.concat(rows.map(({ present }) => present)),
    time: NdArray.full([2, count], 300),
    ...Object.fromEntries(Object.entries(conditions).map(([key, value]) => [key, both(value)])),
  }
  const packed = (await evaluate({ outputs: { made }, weights: weightsOf(p) }, feeds)).made as NdArray<'f32'>
  for (const [i, film] of films.entries()) {
    const alone = await whole(film.reshape([1, ...film.shape]) as NdArray<'f32'>, 300, [])
    const expected = patchesOf(alone.reshape(film.shape) as NdArray<'f32'>, config)
    const found = packed
      .slice(0, i, i + 1)
      .slice(1, 0, rows[i]?.n)
      .reshape(expected.shape)
    expect(maxDifference(found, expected)).toBeLessThan(1e-4)
    expect(expected.abs().max().item()).toBeGreaterThan(0.05)
  }
})

test('a given frame is known to be without noise, whatever the time', async () => {
  const film = draw.randn([1, 3, 3, 4, 4]) as NdArray<'f32'>
  const [early, late] = [await whole(film, 100, [0, 1, 2]), await whole(film, 900, [0, 1, 2])]
  expect(maxDifference(early, late)).toBe(0)
  expect(maxDifference(await whole(film, 900, [0]), await whole(film, 900, []))).toBeGreaterThan(0.01)
})

test('latents that do not divide into patches are refused', () => {
  expect(() => geometryOf([3, 2, 5, 4], config)).toThrow('patches of 1×2×2')
})
