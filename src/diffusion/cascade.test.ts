import { expect, test } from 'vitest'
import { NdArray } from '../runtime/ndarray.ts'
import { Generator } from '../runtime/random.ts'
import {
  alphasCumprod,
  betaSchedule,
  blurred,
  ContinuousDiffusion,
  cosineTime,
  ddpm,
  drawAugmentation,
  drawSignalShares,
  dynamicThreshold,
  finish,
  gaussianBlur,
  levelOf,
  levelOfShare,
  linearTime,
  noisedTo,
  truncatedAt,
  vp,
} from './index.ts'

test('continuous time is where the tables lie, at their times and between', () => {
  const bars = alphasCumprod(betaSchedule('squaredcos_cap_v2', { steps: 1000 }))
  const { alpha } = cosineTime()
  for (const t of [0, 17, 500, 900]) expect(alpha((t + 1) / 1000) ** 2).toBeCloseTo(bars[t] as number, 5)
  for (const schedule of [cosineTime(), linearTime]) {
    const diffusion = new ContinuousDiffusion(schedule)
    for (const t of [0.02, 0.3, 0.77, 0.95]) expect(diffusion.timeOf(diffusion.level(t).sigma)).toBeCloseTo(t, 5)
    const levels = diffusion.levels(8)
    expect(levels.length).toBe(9)
    expect(levels.every((level, i) => i === 0 || level < (levels[i - 1] as number))).toBe(true)
  }
  expect(() => new ContinuousDiffusion().level(1.01)).toThrow('outside 0 … 1')
})

test('a batch is noised each to its level, and its target follows from the prediction', () => {
  const diffusion = new ContinuousDiffusion()
  const generator = new Generator(0)
  const [data, noise] = [generator.randn([3, 2, 2]), generator.randn([3, 2, 2])]
  const times = [0, 0.5, 1]
  const x = diffusion.addNoise(data, noise, times)
  expect(
    x
      .slice(0, 0, 1)
      .sub(data.slice(0, 0, 1))
      .abs()
      .max()
      .item(),
  ).toBeLessThan(1e-6)
  expect(
    x
      .slice(0, 2, 3)
      .sub(noise.slice(0, 2, 3))
      .abs()
      .max()
      .item(),
  ).toBeLessThan(1e-6)
  const { alpha, sigma } = diffusion.level(0.5)
  const v = diffusion.target('v_prediction', data, noise, times).slice(0, 1, 2)
  const expected = noise
    .slice(0, 1, 2)
    .mul(alpha)
    .sub(data.slice(0, 1, 2).mul(sigma))
  expect(v.sub(expected).abs().max().item()).toBeLessThan(1e-6)
  expect(() => diffusion.addNoise(data, noise, [0])).toThrow('one level a sample')
})

test('a truncated run ends as one that goes on and is noised again: both have one distribution, where the denoiser is exact', async () => {
  // Data N(2, 0.5²): E[x0 | x] in closed form.
  const [mean, variance] = [2, 0.25]
  const diffusion = new ContinuousDiffusion()
  const exact = (x: NdArray, sigma: number) => {
    const { alpha } = levelOf(vp, sigma)
    const gain = (variance * alpha) / (alpha * alpha * variance + sigma * sigma)
    return x
      .sub(mean * alpha)
      .mul(gain)
      .add(mean)
  }
  const level = diffusion.level(0.4)
  const start = (seed: number) => new Generator(seed).randn([20_000])
  const levels = diffusion.levels(60)
  const truncated = await finish(ddpm(exact, start(1), truncatedAt(levels, level.sigma), { generator: new Generator(2) }))
  const whole = await finish(ddpm(exact, start(3), levels, { generator: new Generator(4) }))
  const again = noisedTo(whole.reshape([1, 20_000]), new Generator(5).randn([1, 20_000]), [level])
  const expected = [mean * level.alpha, Math.sqrt(level.alpha ** 2 * variance + level.sigma ** 2)] as const
  for (const found of [truncated, again]) {
    expect(found.mean().item()).toBeCloseTo(expected[0], 1)
    expect(Math.abs(found.std().item() - expected[1])).toBeLessThan(0.03)
  }
  expect(() => truncatedAt(levels, 2)).toThrow('is not between')
})

test('blur keeps constants and means, spreads a point by its weights, and takes the share that is asked for', () => {
  const flat = NdArray.full([1, 1, 5, 6], 0.3)
  expect(gaussianBlur(flat, 0.5).sub(flat).abs().max().item()).toBeLessThan(1e-6)
  const point = NdArray.zeros([1, 1, 5, 5])
  ;(point.data as Float32Array)[12] = 1
  const [edge, middle] = [Math.exp(-2), 1].map((w) => w / (1 + 2 * Math.exp(-2))) as [number, number]
  const spread = gaussianBlur(point, 0.5)
  expect(spread.sum().item()).toBeCloseTo(1, 5)
  expect([spread.data[12], spread.data[11], spread.data[6]].map((x) => (x as number).toFixed(6))).toEqual(
    [middle * middle, middle * edge, edge * edge].map((x) => x.toFixed(6)),
  )
  const noise = new Generator(0).randn([400, 1, 4, 4])
  const out = blurred(noise, new Generator(1))
  const changed = Array.from(
    { length: 400 },
    (_, i) =>
      out
        .slice(0, i, i + 1)
        .sub(noise.slice(0, i, i + 1))
        .abs()
        .max()
        .item() > 0,
  )
  expect(changed.filter(Boolean).length / 400).toBeCloseTo(0.5, 1)
  expect(blurred(noise, new Generator(1), { share: 0 })).toEqual(noise)
  expect(() => blurred(noise, new Generator(1), { size: 2 })).toThrow('odd')
})

test('levels of augmentation and shares of signal are drawn over all of their range, shares between neighbouring levels of the table', () => {
  const drawn = drawAugmentation(new Generator(0), 2000, 0.5)
  expect([Math.min(...drawn) < 0.01, Math.max(...drawn) > 0.49, Math.max(...drawn) <= 0.5]).toEqual([true, true, true])
  const bars = alphasCumprod(betaSchedule('linear', { steps: 10, start: 0.01, end: 0.4 }))
  const shares = drawSignalShares(bars, 5000, new Generator(1))
  const edges = [1, ...Array.from(bars, Math.sqrt)]
  const counts = edges.slice(1).map((low, i) => shares.filter((share) => share >= low && share <= (edges[i] as number)).length)
  for (const count of counts) expect(count / 5000).toBeCloseTo(0.1, 1)
  const { alpha, sigma } = levelOfShare(0.6)
  expect([alpha, sigma]).toEqual([0.6, expect.closeTo(0.8, 10)])
})

test('a dynamic threshold keeps what saturates apart, where a static one makes it one value', () => {
  const x = NdArray.from([[-3, -1, 0, 0.5, 2, 4]])
  const dynamic = dynamicThreshold(x, { ratio: 1 })
  expect(dynamic.abs().max().item()).toBe(1)
  expect(new Set([...dynamic.data]).size).toBe(6)
  expect(new Set([...x.clamp(-1, 1).data]).size).toBe(4)
})
