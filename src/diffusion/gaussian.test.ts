import { expect, test } from 'vitest'
import { fixture, tensorOf } from '../../tests/fixture.ts'
import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { Generator } from '../runtime/random.ts'
import { alphasCumprod, type BetaSchedule, betaSchedule, rescaleZeroTerminalSnr } from './betas.ts'
import { GaussianDiffusion } from './gaussian.ts'
import { vp } from './paths.ts'
import { clipped, denoiserFrom, type Prediction, targetOf, thresholded, toData, toNoise } from './predictions.ts'
import { dynamicShift, shiftSigma } from './sigmas.ts'

const diffusers = fixture('schedulers')
const ulps = (a: Float32Array, b: Float32Array) => {
  const [x, y] = [new Int32Array(a.buffer), new Int32Array(b.buffer)]
  return Math.max(...x.map((bits, i) => Math.abs(bits - (y[i] as number))))
}

test.each(['linear', 'scaled_linear', 'squaredcos_cap_v2', 'sigmoid', 'laplace', 'exp'] as const)(
  'ᾱ of %s betas is PyTorch’s to 2 ulp',
  (name) => {
    const expected = tensorOf(diffusers, `alphas_cumprod.${name}`).data
    expect(ulps(alphasCumprod(betaSchedule(name as BetaSchedule)), expected)).toBeLessThanOrEqual(2)
  },
)

test('zero terminal SNR leaves no signal at the last step', () => {
  const betas = betaSchedule('scaled_linear', { start: 0.00085, end: 0.012 })
  const zero = alphasCumprod(rescaleZeroTerminalSnr(betas))
  expect(zero.at(-1)).toBe(0)
  const expected = tensorOf(diffusers, 'alphas_cumprod.zero').data
  expect(Math.max(...zero.map((a, i) => Math.abs(a - (expected[i] as number))))).toBeLessThan(1e-6)
})

test('noising step by step and noising at once have one distribution', () => {
  const process = new GaussianDiffusion(betaSchedule('linear', { steps: 20, start: 0.01, end: 0.3 }))
  let [mean, variance] = [1, 0]
  for (const beta of process.betas) {
    mean *= Math.sqrt(1 - beta)
    variance = (1 - beta) * variance + beta
  }
  const { alpha, sigma } = process.level(19)
  expect(alpha).toBeCloseTo(mean, 6)
  expect(sigma ** 2).toBeCloseTo(variance, 6)
  expect(() => process.level(20)).toThrow(ArgumentError)
})

test('the posterior is Bayes’ rule for the forward step', () => {
  const process = new GaussianDiffusion(betaSchedule('linear', { steps: 10, start: 0.05, end: 0.3 }))
  const [data, x] = [NdArray.from([[0.7], [-1.2]]), NdArray.from([[0.1], [0.4]])]
  const t = [5, 1]
  const { mean, variance } = process.posterior(data, x, t)
  for (const [i, ti] of t.entries()) {
    const beta = process.betas[ti] as number
    const before = process.level(ti - 1)
    // Precisions of q(x_t | x_{t−1}) and q(x_{t−1} | x_0) as functions of x_{t−1} add up.
    const precision = (1 - beta) / beta + 1 / before.sigma ** 2
    const weighted =
      (Math.sqrt(1 - beta) * (x.data[i] as number)) / beta + (before.alpha * (data.data[i] as number)) / before.sigma ** 2
    expect(variance.data[i]).toBeCloseTo(1 / precision, 5)
    expect(mean.data[i]).toBeCloseTo(weighted / precision, 5)
  }
})

test('every prediction leads back to the data and to the noise it was made from', () => {
  const g = new Generator(0)
  const [data, noise] = [g.randn([4, 3]), g.randn([4, 3])]
  for (const sigma of [0.1, 0.5, 0.97]) {
    const level = { sigma, alpha: vp.alpha(sigma), lambda: 0 }
    const x = data.mul(level.alpha).add(noise.mul(sigma))
    for (const kind of ['epsilon', 'sample', 'v_prediction', 'flow_prediction', 'score'] as Prediction[]) {
      const output = targetOf(kind, data, noise, level)
      expect(toData(kind, output, x, level).sub(data).abs().max().item()).toBeLessThan(2e-5)
      expect(toNoise(kind, output, x, level).sub(noise).abs().max().item()).toBeLessThan(2e-5)
    }
  }
})

test('L_simple is a mean square per sample; its target is the added noise', () => {
  const process = new GaussianDiffusion(betaSchedule('linear'))
  const g = new Generator(1)
  const [data, noise] = [g.randn([2, 3, 4]), g.randn([2, 3, 4])]
  const x = process.addNoise(data, noise, [10, 900])
  const { alpha, sigma } = process.level(900)
  expect(x.row(1).sub(data.row(1).mul(alpha)).div(sigma).sub(noise.row(1)).abs().max().item()).toBeLessThan(1e-5)
  expect(process.target('epsilon', data, noise, [10, 900]).data).toEqual(noise.data)
  expect(process.lossSimple(noise.add(2), noise).toNested()).toEqual([expect.closeTo(4, 5), expect.closeTo(4, 5)])
  expect(() => process.addNoise(data, noise, [10])).toThrow(ArgumentError)
})

test('a network of any prediction is a denoiser; clipping and thresholding are denoisers around it', async () => {
  const g = new Generator(2)
  const [data, noise] = [g.randn([3, 5]).mul(2), g.randn([3, 5])]
  const level = { sigma: 0.6, alpha: 0.8, lambda: 0 }
  const x = data.mul(level.alpha).add(noise.mul(level.sigma))
  const denoise = denoiserFrom('v_prediction', () => targetOf('v_prediction', data, noise, level), vp)
  expect((await denoise(x, 0.6)).sub(data).abs().max().item()).toBeLessThan(1e-5)
  expect((await clipped(denoise, 1.5)(x, 0.6)).abs().max().item()).toBe(1.5)
  const limited = await thresholded(denoise, { ratio: 0.9 })(x, 0.6)
  expect(limited.abs().max().item()).toBe(1)
  const small = thresholded(() => data.mul(0.01))
  expect((await small(x, 0.6)).data).toEqual(data.mul(0.01).data)
})

test('the shift of a resolution is 0.5 at 256 tokens and 1.15 at 4096; shifting keeps the ends', () => {
  expect([dynamicShift(256), dynamicShift(4096)]).toEqual([0.5, 1.15])
  expect([shiftSigma(0, 3), shiftSigma(0.5, 3), shiftSigma(1, 3)]).toEqual([0, 0.75, 1])
})
