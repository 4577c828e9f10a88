import { expect, test } from 'vitest'
import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { Generator } from '../runtime/random.ts'
import { betaSchedule } from './betas.ts'
import {
  discretizedLogLikelihood,
  gaussianKl,
  posteriorStep,
  type ReverseStep,
  thermodynamicBound,
  variationalBound,
} from './bound.ts'
import { finish } from './denoiser.ts'
import { consistencyScaling, preconditioning } from './edm.ts'
import { GaussianDiffusion } from './gaussian.ts'
import { between, linearInterpolant, straight, transport, trigonometricInterpolant } from './interpolants.ts'
import {
  consistencyLevels,
  consistencyPair,
  drawTimes,
  LossSecondMoment,
  minSnrWeight,
  p2Weight,
  predictionWeight,
  pseudoHuber,
  scoreMatchingWeight,
  snr,
} from './losses.ts'
import { GaussianMixture } from './oracle.ts'
import { levelOf, ve, vp } from './paths.ts'
import { type Prediction, targetOf } from './predictions.ts'
import { vpSde } from './sde.ts'

test('a weight on a prediction’s error is the weight on the data’s error', () => {
  const g = new Generator(0)
  const [data, guess, noise] = [g.randn([8]), g.randn([8]), g.randn([8])]
  const level = levelOf(vp, 0.7)
  const x = data.mul(level.alpha).add(noise.mul(level.sigma))
  const error = guess.sub(data).square().sum().item()
  for (const kind of ['epsilon', 'sample', 'v_prediction', 'flow_prediction', 'score'] as Prediction[]) {
    const guessed = targetOf(kind, guess, x.sub(guess.mul(level.alpha)).div(level.sigma), level)
    const right = targetOf(kind, data, noise, level)
    expect(guessed.sub(right).square().sum().item() / error).toBeCloseTo(predictionWeight(kind, level), 3)
  }
  expect(minSnrWeight('epsilon', levelOf(vp, 0.1))).toBeCloseTo(5 / snr(levelOf(vp, 0.1)))
  expect(minSnrWeight('epsilon', levelOf(vp, 0.9))).toBe(1)
  const nothing = { alpha: 0, sigma: 1, lambda: -Infinity }
  expect([0, 1].map((raise) => minSnrWeight('v_prediction', nothing, 5, raise))).toEqual([0, 1])
  expect(minSnrWeight('v_prediction', levelOf(vp, 0.1), 5, 1)).toBeCloseTo(5 / (snr(levelOf(vp, 0.1)) + 1))
  expect(p2Weight('epsilon', level, { gamma: 1, k: 1 })).toBeCloseTo(1 / (1 + snr(level)))
  expect(scoreMatchingWeight(vpSde(), 0.5, 'likelihood')).toBeCloseTo(vpSde().diffusion(0.5))
})

test('EDM’s preconditioning gives unit variance in and out, and leaves the data at σ = 0', () => {
  for (const sigma of [0.01, 0.5, 20]) {
    const c = preconditioning(sigma, 0.5)
    expect(c.in ** 2 * (0.25 + sigma ** 2)).toBeCloseTo(1)
    // F's target is (x0 − skip·x)/out: variance ((1 − skip)² s² + skip² σ²)/out².
    expect(((1 - c.skip) ** 2 * 0.25 + (c.skip * sigma) ** 2) / c.out ** 2).toBeCloseTo(1)
    expect(c.weight * c.out ** 2).toBeCloseTo(1)
  }
  expect(consistencyScaling(0.002)).toEqual({ skip: 1, out: 0 })
})

test('training times have their densities', () => {
  const g = new Generator(1)
  const n = 20_000
  const mean = (kind: Parameters<typeof drawTimes>[0]) => drawTimes(kind, n, g)
  expect(mean({ kind: 'uniform', min: 1e-5 }).mean().item()).toBeCloseTo(0.5, 1)
  expect(mean({ kind: 'logit-normal', mean: 0.5 }).quantile(0.5).item()).toBeCloseTo(1 / (1 + Math.exp(-0.5)), 1)
  expect(mean({ kind: 'mode', scale: 0 }).quantile(0.25).item()).toBeCloseTo(0.25, 1)
  expect(mean({ kind: 'cosmap' }).quantile(0.5).item()).toBeCloseTo(0.5, 1)
  expect(mean({ kind: 'log-normal' }).log().std().item()).toBeCloseTo(1.2, 1)
})

test('importance sampling: even until every timestep is known, then by the root of the second moment, and unbiased', () => {
  const sampler = new LossSecondMoment(4, { history: 2 })
  expect(sampler.probabilities()).toEqual([0.25, 0.25, 0.25, 0.25])
  for (const _ of [1, 2]) sampler.update([0, 1, 2, 3], [1, 2, 3, 4])
  const p = sampler.probabilities()
  expect(p[3]).toBeCloseTo(0.4 * 0.999 + 0.001 / 4, 10)
  const { t, weights } = sampler.draw(5000, new Generator(2))
  const estimate = t.reduce((sum, ti, i) => sum + (ti + 1) * (weights[i] as number), 0) / 5000
  expect(estimate).toBeCloseTo(2.5, 1)
  expect(() => sampler.update([9], [1])).toThrow('timestep 9')
})

test('consistency: levels double, the distance is Huber’s, the teacher’s pair lies on one trajectory', async () => {
  expect([0, 0.2, 1].map((share) => consistencyLevels(share))).toEqual([11, 21, 1281])
  expect(pseudoHuber(NdArray.from([[3, 4]]), NdArray.from([[0, 0]]), 0).item()).toBe(5)
  const gaussian = new GaussianMixture([{ weight: 1, mean: [0], std: 1 }])
  const x = NdArray.from([[2]])
  const { to, weight } = await consistencyPair(gaussian.denoiser(ve), x, 1, 0.95)
  // For N(0, 1) data the flow is x·√(1 + σ'²)/√(1 + σ²).
  expect(to.item()).toBeCloseTo((2 * Math.sqrt(1 + 0.95 ** 2)) / Math.SQRT2, 4)
  expect(weight).toBeCloseTo(20)
})

test('KL of Gaussians, and a decoder whose bins sum to 1', () => {
  const of = (v: number) => NdArray.from([v])
  expect(gaussianKl(of(1), of(0), of(0), of(0)).item()).toBeCloseTo(0.5)
  expect(gaussianKl(of(0), of(Math.log(4)), of(0), of(0)).item()).toBeCloseTo(0.5 * (4 - 1 - Math.log(4)), 5)
  const bins = NdArray.from(Array.from({ length: 256 }, (_, i) => i / 127.5 - 1))
  const total = discretizedLogLikelihood(bins, bins.mul(0).add(0.2), bins.mul(0).add(Math.log(0.05)))
    .exp()
    .sum()
    .item()
  expect(total).toBeCloseTo(1, 4)
})

test('the variational bound is above the true cost, and the right variance brings it down at 20 steps', async () => {
  const mixture = new GaussianMixture([
    { weight: 0.4, mean: [-0.4], std: 0.1 },
    { weight: 0.6, mean: [0.3], std: 0.15 },
  ])
  const generator = new Generator(3)
  const data = mixture.sample(1500, generator).map((v) => Math.round((v + 1) * 127.5) / 127.5 - 1)
  // Bits of the quantised density itself.
  const clean = levelOf(ve, 1e-6)
  const truth = -mixture.logDensity(data, clean).reduce((sum, l) => sum + l + Math.log(2 / 255), 0) / data.size / Math.LN2
  const process = new GaussianDiffusion(betaSchedule('linear', { steps: 20, start: 0.001, end: 0.6 }))
  const reverse =
    (kind: 'small' | 'large' | 'right'): ReverseStep =>
    async (x, t) => {
      const level = process.level(t)
      const guess = mixture.mean(x, level)
      const each = new Array<number>(x.shape[0] as number).fill(t)
      const { mean, variance } = process.posterior(guess, x, each)
      const beta = process.betas[t] as number
      if (t === 0) return { mean: guess, logVariance: x.mul(0).add(Math.log(1e-3)) }
      if (kind === 'small') return { mean, logVariance: variance.log() }
      if (kind === 'large') return { mean, logVariance: x.mul(0).add(Math.log(beta)) }
      // Var[x0 | x] = σ²/α·dD/dx, carried by the posterior mean's slope in x0.
      const h = 1e-3
      const spread = mixture
        .mean(x.add(h), level)
        .sub(mixture.mean(x.sub(h), level))
        .div(2 * h)
        .mul(level.sigma ** 2 / level.alpha)
      const before = t > 0 ? process.level(t - 1).alpha : 1
      const slope = (before * beta) / level.sigma ** 2
      return { mean, logVariance: variance.add(spread.maximum(0).mul(slope * slope)).log() }
    }
  const cost = async (kind: 'small' | 'large' | 'right') =>
    (await variationalBound(process, reverse(kind), data, new Generator(4))).mean().item()
  const [small, large, right] = [await cost('small'), await cost('large'), await cost('right')]
  expect(right).toBeGreaterThan(truth)
  expect(right).toBeLessThan(Math.min(small, large))
  await expect(variationalBound(process, reverse('small'), data, generator, { every: 0 })).rejects.toThrow(ArgumentError)
})

test('a bound of which one term in five is drawn is the same on average', async () => {
  const mixture = new GaussianMixture([{ weight: 1, mean: [0.3], std: 0.2 }])
  const data = mixture.sample(100, new Generator(3))
  const process = new GaussianDiffusion(betaSchedule('linear', { steps: 100, start: 2e-3, end: 0.12 }))
  const calls = { whole: 0, thinned: 0 }
  const bound = async (key: keyof typeof calls, every: number, seed: number) => {
    const reverse = posteriorStep(process, (x, sigma) => {
      calls[key]++
      return mixture.mean(x, levelOf(vp, sigma))
    })
    return (await variationalBound(process, reverse, data, new Generator(seed), { every })).mean().item()
  }
  const each = (key: keyof typeof calls, every: number) =>
    Promise.all(Array.from({ length: 12 }, (_, seed) => bound(key, every, seed + every * 100)))
  const [whole, thinned] = [NdArray.from(await each('whole', 1)), NdArray.from(await each('thinned', 5))]
  const error = Math.hypot(whole.std().item(), thinned.std().item()) / Math.sqrt(12)
  expect(Math.abs(whole.mean().item() - thinned.mean().item())).toBeLessThan(4 * error)
  expect(error).toBeLessThan(0.05 * whole.mean().item())
  expect(calls.whole).toBe(1200)
  expect(calls.thinned).toBeLessThan(600)
})

test.each([
  ['straight', straight],
  ['linear', linearInterpolant(0.5)],
  ['trigonometric', trigonometricInterpolant(0.5)],
])('%s interpolant: rates are derivatives, and exact fields carry one Gaussian to another', async (_, mix) => {
  for (const t of [0.2, 0.7]) {
    const [before, at, after] = [mix(t - 1e-6), mix(t), mix(t + 1e-6)]
    for (const key of ['a', 'b', 'c'] as const) expect((after[key] - before[key]) / 2e-6).toBeCloseTo(at.rate[key], 5)
  }
  // Independent x0 ~ N(1, 0.5²), x1 ~ N(−2, 1.5²).
  const [m0, s0, m1, s1] = [1, 0.5, -2, 1.5]
  const moments = (t: number) => {
    const { a, b, c, rate } = mix(Math.min(Math.max(t, 1e-4), 1 - 1e-4))
    const variance = (a * s0) ** 2 + (b * s1) ** 2 + c * c
    const growth = a * rate.a * s0 ** 2 + b * rate.b * s1 ** 2 + c * rate.c
    return { mean: a * m0 + b * m1, rate: rate.a * m0 + rate.b * m1, variance, growth }
  }
  const velocity = (x: NdArray, t: number) => {
    const { mean, rate, variance, growth } = moments(t)
    return x
      .sub(mean)
      .mul(growth / variance)
      .add(rate)
  }
  const score = (x: NdArray, t: number) => x.sub(moments(t).mean).div(-moments(t).variance)
  const generator = new Generator(5)
  const start = generator.randn([6000, 1]).mul(s0).add(m0)
  const noisy = { steps: 300, diffusion: (t: number) => t * (1 - t), score, generator }
  for (const options of [{ steps: 200 }, noisy]) {
    const end = await finish(transport(velocity, start, options))
    expect(end.mean().item()).toBeCloseTo(m1, 1)
    expect(Math.abs(end.std().item() - s1)).toBeLessThan(0.06)
  }
  const pair = between(mix(0.3), start, start.mul(2), start.mul(0))
  expect(pair.x.shape).toEqual([6000, 1])
})

test('K of isotropic Gaussian data is the null’s: diffusion has nothing to learn there', async () => {
  const process = new GaussianDiffusion(betaSchedule('linear', { steps: 30, start: 0.02, end: 0.4 }))
  const generator = new Generator(6)
  const data = generator.randn([4000, 3])
  const reverse: ReverseStep = async (x, t) => {
    const beta = process.betas[t] as number
    return { mean: x.mul(Math.sqrt(1 - beta)), logVariance: x.mul(0).add(Math.log(beta)) }
  }
  const bound = (await thermodynamicBound(process, reverse, data, generator)).mean().item()
  expect(Math.abs(bound + 1.5 * Math.log2(2 * Math.PI * Math.E))).toBeLessThan(0.06)
})
