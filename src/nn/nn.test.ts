import { expect, test } from 'vitest'
import { maxDifference } from '../../tests/fixture.ts'
import { concat } from '../core/functions.ts'
import { grad } from '../core/grad.ts'
import { input, type Tensor } from '../core/tensor.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { evaluate } from '../runtime/program.ts'
import { Generator } from '../runtime/random.ts'
import { DropoutMasks } from './dropout.ts'
import { gegluFeedForward } from './feed-forward.ts'
import { firDownsample, firUpsample } from './fir.ts'
import { Params } from './params.ts'
import { resnetBlock } from './resnet.ts'
import { renameAttention } from './spatial-attention.ts'
import { gaussianFourier, sinusoidal } from './time.ts'

const at = async (f: (x: Tensor) => Tensor, x: NdArray) => (await evaluate({ y: f(input('x', x.shape)) }, { x })).y as NdArray

test('sinusoidal: sines and cosines at falling frequencies', async () => {
  const t = [0, 1, 37, 999]
  const expected = (frequency: (i: number) => number, cosineFirst: boolean, zeros: number) =>
    NdArray.from(
      t.map((time) => {
        const angles = [0, 1, 2, 3].map((i) => time * frequency(i))
        const [sines, cosines] = [angles.map(Math.sin), angles.map(Math.cos)]
        return [...(cosineFirst ? [...cosines, ...sines] : [...sines, ...cosines]), ...new Array(zeros).fill(0)]
      }),
    )
  const shifted = await at((x) => sinusoidal(x, 8), NdArray.from(t))
  expect(
    maxDifference(
      shifted,
      expected((i) => 10000 ** (-i / 3), false, 0),
    ),
  ).toBeLessThan(1e-4)
  const plain = await at((x) => sinusoidal(x, 9, { cosineFirst: true, frequencyShift: 0 }), NdArray.from(t))
  expect(
    maxDifference(
      plain,
      expected((i) => 10000 ** (-i / 4), true, 1),
    ),
  ).toBeLessThan(1e-4)
})

test('gaussianFourier: frequencies are loaded and never trained', async () => {
  const p = new Params()
  const encode = gaussianFourier(p, 3, { scale: 16 })
  const [weight] = p.tensors.values()
  const sigma = input('sigma', [2])
  const outputs = {
    y: encode(sigma),
    g: grad(encode(sigma).square().mul(sigma.unsqueeze(1)).sum(), [weight as Tensor])[0] as Tensor,
  }
  const weights = new Map([['weight', NdArray.from([0.5, -1, 2])]])
  const { y, g } = await evaluate({ outputs, weights }, { sigma: NdArray.from([0.3, 20]) })
  const angle = (s: number) => [0.5, -1, 2].map((w) => 2 * Math.PI * w * Math.log(s))
  const expected = NdArray.from([0.3, 20].map((s) => [...angle(s).map(Math.sin), ...angle(s).map(Math.cos)]))
  expect(maxDifference(y as NdArray, expected)).toBeLessThan(1e-5)
  expect(maxDifference(g as NdArray, NdArray.zeros([3]))).toBe(0)
})

test('FIR resampling keeps constants, and each way is the transpose of the other', async () => {
  const x = new Generator(0).randn([2, 3, 8, 6])
  const y = new Generator(1).randn([2, 3, 4, 3])
  const down = await at(firDownsample, x)
  const up = await at(firUpsample, y)
  expect([down.shape, up.shape]).toEqual([y.shape, x.shape])
  expect(down.dot(y)).toBeCloseTo(up.dot(x) / 4, 4)
  const inside = (a: NdArray, margin: number) => a.slice(2, margin, -margin).slice(3, margin, -margin)
  const flat = NdArray.full([1, 2, 8, 8], 0.7)
  for (const f of [firDownsample, firUpsample]) {
    const kept = inside(await at(f, flat), 1)
    expect(maxDifference(kept, NdArray.full(kept.shape, 0.7))).toBeLessThan(1e-6)
  }
})

test('dropout keeps the mean, drops the share asked for, and passes the gradient only where it keeps', async () => {
  const masks = new DropoutMasks()
  const x = input('x', [100, 100])
  const y = masks.dropout(x, 0.2)
  expect(masks.dropout(x, 0)).toBe(x)
  const outputs = { y, g: grad(y.sum(), [x])[0] as Tensor }
  const drawn = masks.draw(new Generator(5))
  const found = await evaluate(outputs, { x: NdArray.full([100, 100], 1), ...drawn })
  expect(Object.keys(drawn)).toEqual(['dropout.0'])
  expect(maxDifference(found.y as NdArray, found.g as NdArray)).toBe(0)
  const kept = [...(found.y as NdArray<'f32'>).data].filter((v) => v !== 0)
  expect(new Set(kept)).toEqual(new Set([1.25]))
  // Five standard deviations of the binomial.
  expect(Math.abs(kept.length / 10000 - 0.8)).toBeLessThan(0.02)
})

test('a residual block takes a time exactly where it has a width for one', () => {
  const x = input('x', [1, 4, 2, 2])
  const time = input('time', [1, 3])
  const timed = resnetBlock(new Params(), 4, 6, { groups: 2, timeWidth: 3 })
  const untimed = resnetBlock(new Params(), 4, 6, { groups: 2, timeWidth: 0 })
  expect([timed(x, time).shape, untimed(x).shape]).toEqual([
    [1, 6, 2, 2],
    [1, 6, 2, 2],
  ])
  expect(() => timed(x)).toThrow('got no time')
  expect(() => untimed(x, time)).toThrow('got a time')
})

test('a wide feed-forward layer takes some tokens at a time, with the same result and gradient', async () => {
  const p = new Params()
  const layer = gegluFeedForward(p, 256)
  const weights = p.initialise(new Generator(0))
  const [x, g] = [input('x', [1, 2048, 256]), input('g', [1, 2048, 256])]
  const halves = concat(
    x.split(2, 1).map((half) => layer(half)),
    1,
  )
  const outputs = { whole: layer(x), halves, gradient: grad(layer(x).mul(g).sum(), [x])[0] as Tensor }
  const ofHalves = grad(halves.mul(g).sum(), [x])[0] as Tensor
  expect(layer(x).op.name).toBe('concat')
  expect(layer(x.slice(1, 0, 1024)).op.name).not.toBe('concat')
  const generator = new Generator(1)
  const feeds = { x: generator.randn([1, 2048, 256]), g: generator.randn([1, 2048, 256]) }
  const found = await evaluate({ outputs: { ...outputs, ofHalves }, weights }, feeds)
  expect(maxDifference(found.whole as NdArray, found.halves as NdArray)).toBe(0)
  expect(maxDifference(found.gradient as NdArray, found.ofHalves as NdArray)).toBe(0)
})

test('attention keys of older checkpoints are renamed, and no others', () => {
  expect(
    ['query.weight', 'key.bias', 'value.weight', 'proj_attn.bias'].map((key) => renameAttention(`mid_block.attentions.0.${key}`)),
  ).toEqual(['to_q.weight', 'to_k.bias', 'to_v.weight', 'to_out.0.bias'].map((key) => `mid_block.attentions.0.${key}`))
  for (const key of ['mid_block.attentions.0.group_norm.weight', 'value.weight', 'a.keys.weight', 'a.key.weight.b']) {
    expect(renameAttention(key)).toBe(key)
  }
})
