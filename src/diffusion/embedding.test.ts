import { expect, test } from 'vitest'
import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { Generator } from '../runtime/random.ts'
import { alphasCumprod } from './betas.ts'
import { type Denoise, finish } from './denoiser.ts'
import {
  clampedTo,
  embedded,
  embeddedStart,
  embeddingLogits,
  embeddingLoss,
  leastRisk,
  nearestTokens,
  partiallyNoised,
  selfConditioned,
  squareRootBetas,
} from './embedding.ts'
import { GaussianDiffusion } from './gaussian.ts'
import { GaussianMixture } from './oracle.ts'
import { vp } from './paths.ts'
import { ddim } from './samplers/ddim.ts'

const table = NdArray.from([
  [1, 0],
  [0, 1],
  [-1, -0.5],
])

/** Two texts of two tokens, 0 1 and 2 0, as embeddings: the best denoiser in closed form. */
const words = [
  [0, 1],
  [2, 0],
]
const mixture = new GaussianMixture(
  words.map((text) => ({ weight: 1, mean: [...embedded(NdArray.from(text), table).data], std: 0.05 })),
)
const flat = mixture.denoiser(vp)
const denoise: Denoise = async (x, sigma) => (await flat(x.reshape([x.shape[0] as number, 4]), sigma)).reshape(x.shape)
const levels = [...Array.from({ length: 20 }, (_, i) => 0.999 - 0.95 * (i / 19)), 0]
const draw = (of: Denoise, count: number) => finish(ddim(of, new Generator(0).randn([count, 2, 2]), levels))

test('ᾱ of the square-root schedule is what its formula says, up to the last step', () => {
  const bars = alphasCumprod(squareRootBetas(2000))
  for (const t of [1, 500, 1500, 1990]) {
    // Products of ratios: the first one's own offset is left over.
    const of = (at: number) => 1 - Math.sqrt(at / 2000 + 1e-4)
    expect(bars[t - 1]).toBeCloseTo(of(t) / of(0), 4)
  }
})

test('tokens are embedded and found again; the nearest one is not always that of the largest product', () => {
  const tokens = NdArray.from([[2, 0, 1]])
  expect(nearestTokens(embedded(tokens, table), table).toNested()).toEqual([[2, 0, 1]])
  const long = NdArray.from([
    [10, 0],
    [1, 0.1],
  ])
  const x = NdArray.from([[[1, 0.2]]])
  expect(nearestTokens(x, long).toNested()).toEqual([[1]])
  expect(embeddingLogits(x, long).toNested()).toEqual([[[10, expect.closeTo(1.02, 5)]]])
  expect(() => embedded(NdArray.from([3]), table)).toThrow(ArgumentError)
  expect(() => nearestTokens(NdArray.zeros([1, 3]), table)).toThrow('do not fit')
})

test('what is drawn is one of the texts; clamped it lies on embeddings', async () => {
  const tokens = nearestTokens(await draw(denoise, 40), table).toNested() as number[][]
  const kinds = new Set(tokens.map((text) => text.join(' ')))
  expect([...kinds].sort()).toEqual(['0 1', '2 0'])
  const clamped = await draw(clampedTo(denoise, table), 40)
  const back = embedded(nearestTokens(clamped, table), table)
  expect(clamped.sub(back).norm().item()).toBeLessThan(1e-5)
})

test('beside a source that stays, the rest is what goes with it', async () => {
  const source = embedded(NdArray.from([[2, 0]]), table).expand([20, 2, 2])
  const given = NdArray.from([[[1], [0]]])
  const x = await draw(partiallyNoised(denoise, source, given), 20)
  for (const text of nearestTokens(x, table).toNested() as number[][]) expect(text).toEqual([2, 0])
  expect(
    x
      .slice(1, 0, 1)
      .sub(source.slice(1, 0, 1))
      .norm()
      .item(),
  ).toBeLessThan(1e-5)
})

test('a self-conditioned denoiser is told its last estimate, zeros at first', async () => {
  const seen: number[] = []
  const self = selfConditioned((x, _, before) => {
    seen.push(before.sum().item())
    return x.mul(0).add(seen.length)
  })
  for (let k = 0; k < 3; k++) await self(NdArray.zeros([1, 2]), 1)
  expect(seen).toEqual([0, 2, 4])
})

test('the loss is the sum of its terms: squares against x_0, or embeddings at the first step, the prior, and rounding', () => {
  const process = new GaussianDiffusion(squareRootBetas(100))
  const tokens = NdArray.from([
    [0, 1],
    [2, 0],
  ])
  const noise = new Generator(1).randn([2, 2, 2])
  const start = embeddedStart(process, tokens, table, noise)
  const found = new Generator(2).randn([2, 2, 2])
  const loss = embeddingLoss(process, table, { tokens, start, found, t: [0, 40] })
  const clean = embedded(tokens, table)
  const meanSquare = (a: NdArray, b: NdArray) => a.sub(b).square().mean().item()
  const [own, other] = [loss.square.data[0], loss.square.data[1]]
  expect(own).toBeCloseTo(meanSquare(clean.row(0), found.row(0)), 5)
  expect(other).toBeCloseTo(meanSquare(start.row(1), found.row(1)), 5)
  expect(loss.prior.data[1]).toBeCloseTo((process.alphasCumprod[99] as number) * start.row(1).square().mean().item(), 6)
  const logit = (n: number, v: number) => start.row(1).row(n).dot(table.row(v))
  const nats = [2, 0].map((token, n) => Math.log([0, 1, 2].reduce((sum, v) => sum + Math.exp(logit(n, v)), 0)) - logit(n, token))
  expect(loss.rounding.data[1]).toBeCloseTo(((nats[0] as number) + (nats[1] as number)) / 2, 5)
  expect(loss.total.sum().item()).toBeCloseTo(loss.square.add(loss.prior).add(loss.rounding).sum().item(), 5)
})

test('the candidate of least risk is the one most like the others', () => {
  const shared = (a: string, b: string) => a.split(' ').filter((word) => b.split(' ').includes(word)).length
  expect(leastRisk(['a cat sat', 'a cat ran', 'the dog ran'], shared)).toBe('a cat ran')
  expect(() => leastRisk([], shared)).toThrow(ArgumentError)
})
