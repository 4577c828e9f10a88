import { expect, test } from 'vitest'
import { NdArray } from '../runtime/ndarray.ts'
import { Generator } from '../runtime/random.ts'
import { finish } from './denoiser.ts'
import { almostOneHot, projectSimplex, simplexKept, simplexNoise, simplexSampling } from './simplex.ts'

const [V, K] = [5, 3]

test('the schedule falls from 1 to 0, and noise has K’s size', () => {
  const kept = [0, 0.25, 0.5, 0.75, 1].map(simplexKept)
  expect(kept[0]).toBe(1)
  expect(kept[4]).toBeCloseTo(0, 8)
  expect(kept.every((value, i) => i === 0 || value < (kept[i - 1] as number))).toBe(true)
  const clean = almostOneHot(NdArray.from([[2, 0]]), V, K)
  expect(clean.toNested()).toEqual([
    [
      [-K, -K, K, -K, -K],
      [K, -K, -K, -K, -K],
    ],
  ])
  const noise = new Generator(0).randn([1, 4000, V])
  const noisy = simplexNoise(NdArray.zeros([1, 4000, V]), noise, [0.5], K)
  expect(Math.sqrt(noisy.mul(noisy).mean().item())).toBeCloseTo(K * Math.sqrt(1 - (kept[2] as number)), 1)
})

test('projections: the likeliest, the whole nucleus, or one of it as often as it is likely', () => {
  const shares = [0.5, 0.3, 0.15, 0.05]
  const logits = NdArray.from([[shares.map(Math.log)]])
  const signs = (x: NdArray) => [...x.cast('f32').data].map(Math.sign)
  expect(signs(projectSimplex(logits, { projection: 'greedy', K }))).toEqual([1, -1, -1, -1])
  // The token that crosses the share is taken.
  expect(signs(projectSimplex(logits, { projection: 'multi-hot', topP: 0.6, K }))).toEqual([1, 1, -1, -1])
  const many = NdArray.from([Array.from({ length: 4000 }, () => shares.map(Math.log))])
  const drawn = projectSimplex(many, { projection: 'sampling', topP: 0.9, K, generator: new Generator(1) })
  const counts = [0, 0, 0, 0]
  for (const [i, value] of drawn.data.entries()) if (value > 0) counts[i % 4] = (counts[i % 4] as number) + 1
  expect(counts.reduce((a, b) => a + b)).toBe(4000)
  for (const [j, share] of [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0].entries())
    expect((counts[j] as number) / 4000, `token ${j}`).toBeCloseTo(share, 1)
})

test('a network that knows the distribution gives it: the posterior of one token from its noisy logits', async () => {
  const odds = [0.5, 0.25, 0.15, 0.07, 0.03]
  // x = √ᾱ w + √(1−ᾱ) K ε: tokens differ in one entry, 2K higher, so ln p(x | token) is x_token · 2√ᾱ/((1−ᾱ) K) and what all share.
  const posterior = (x: NdArray, t: number) => {
    const kept = simplexKept(t)
    const slope = (2 * Math.sqrt(kept)) / ((1 - kept) * K)
    return x.map((value, i) => Math.log(odds[i % V] as number) + value * slope)
  }
  const N = 3000
  const run = simplexSampling(posterior, [1, N, V], {
    steps: 40,
    K,
    projection: 'sampling',
    topP: 1,
    generator: new Generator(3),
  })
  const tokens = await finish(run)
  const counts = odds.map((_, j) => tokens.data.filter((token) => token === j).length / N)
  // The last step takes the likeliest, from what is almost clean.
  for (const [j, share] of odds.entries()) expect(Math.abs((counts[j] as number) - share), `token ${j}`).toBeLessThan(0.04)
})
