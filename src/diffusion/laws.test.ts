import { expect, test } from 'vitest'
import { NdArray } from '../runtime/ndarray.ts'
import { Generator } from '../runtime/random.ts'
import { type Denoise, finish } from './denoiser.ts'
import { bitsPerDimension, finiteDifferences, jacobianTrace, odeLogLikelihood, rademacher } from './likelihood.ts'
import { probabilityFlow } from './ode.ts'
import { GaussianMixture } from './oracle.ts'
import { type Level, levelOf, sigmaFromRatio, ve, vp } from './paths.ts'
import { annealedLangevin, predictorCorrector } from './samplers/langevin.ts'
import { sdeSigmas, subVp, subVpSde, veSde, vpSde } from './sde.ts'

const mixture = new GaussianMixture([
  { weight: 0.3, mean: [-1, 0.5], std: 0.3, label: 0 },
  { weight: 0.7, mean: [0.8, -0.4], std: 0.4, label: 1 },
])

test('the oracle’s denoiser, score and density agree with each other', async () => {
  const x = new Generator(0).randn([50, 2])
  for (const path of [ve, vp]) {
    const level = levelOf(path, 0.6)
    const tweedie = x.add(mixture.score(x, level).mul(level.sigma ** 2)).div(level.alpha)
    expect(mixture.mean(x, level).sub(tweedie).abs().max().item()).toBeLessThan(1e-5)
    for (const j of [0, 1]) {
      const h = 1e-2
      const shift = NdArray.from(j === 0 ? [h, 0] : [0, h])
      const [up, down] = [mixture.logDensity(x.add(shift), level), mixture.logDensity(x.sub(shift), level)]
      const slopes = up.map((u, i) => (u - (down[i] as number)) / (2 * h))
      const score = mixture.score(x, level).slice(1, j, j + 1).data as Float32Array
      expect(Math.max(...slopes.map((s, i) => Math.abs(s - (score[i] as number))))).toBeLessThan(5e-3)
    }
    const both = [0, 1].map((label) => mixture.classPosterior(x, level, label))
    for (const [i, p] of (both[0] as number[]).entries()) expect(p + (both[1]?.[i] as number)).toBeCloseTo(1, 10)
  }
})

test.each([
  ['ve', ve, { min: 0.02, max: 200 }],
  ['vp', vp, { min: 0.02, max: 0.99999 }],
  ['sub-vp', subVp, { min: 0.02, max: 0.9999 }],
] as const)('%s: likelihood by the probability-flow ODE is the mixture’s within 0.01 nats', async (_, path, { min, max }) => {
  const level = levelOf(path, min)
  const generator = new Generator(1)
  const data = mixture.sample(40, generator)
  const x = data.mul(level.alpha).add(generator.randn(data.shape).mul(level.sigma))
  const denoise = mixture.denoiser(path)
  const { logLikelihood } = await odeLogLikelihood(denoise, x, { path, min, max })
  const exact = mixture.logDensity(x, level)
  const errors = exact.map((e, i) => Math.abs(e - (logLikelihood.data[i] as number)))
  expect(Math.max(...errors)).toBeLessThan(0.01)
  // Hutchinson's estimate of the same: right on average over samples and probes.
  const estimate = await odeLogLikelihood(denoise, x, { path, min, max, generator, rtol: 1e-4, atol: 1e-4 })
  expect(estimate.logLikelihood.mean().item()).toBeCloseTo(exact.reduce((a, b) => a + b, 0) / exact.length, 0)
})

test('Hutchinson’s trace is unbiased against the exact one', async () => {
  const level = levelOf(vp, 0.5)
  const jvp = finiteDifferences(mixture.denoiser(vp))
  const generator = new Generator(5)
  const x = generator.randn([1, 2])
  const exact = (await jacobianTrace(jvp, x, level.sigma, 'exact')).item()
  const many = NdArray.concat(Array.from({ length: 4000 }, () => x))
  const estimates = await jacobianTrace(jvp, many, level.sigma, rademacher(many.shape, generator))
  const standardError = estimates.std().item() / Math.sqrt(4000)
  expect(standardError).toBeGreaterThan(0)
  expect(Math.abs(estimates.mean().item() - exact)).toBeLessThan(4 * standardError)
})

test('there and back along the probability flow returns to the start within 1e-4', async () => {
  const denoise = mixture.denoiser(vp)
  const x = mixture.sample(30, new Generator(2))
  const levels: number[] = []
  const tolerances = { atol: 1e-6, rtol: 1e-6 }
  const there = await finish(probabilityFlow(denoise, x, 0.02, 0.9999, tolerances), ({ sigma, x, denoised }) => {
    levels.push(sigma)
    expect(
      denoised
        .sub(mixture.mean(x, levelOf(vp, sigma)))
        .abs()
        .max()
        .item(),
    ).toBeLessThan(1e-4)
  })
  const back = await finish(probabilityFlow(denoise, there, 0.9999, 0.02, tolerances))
  expect(back.sub(x).abs().max().item()).toBeLessThan(1e-4)
  expect(there.sub(x).abs().max().item()).toBeGreaterThan(0.1)
  expect(levels.length).toBeGreaterThan(10)
  expect(levels).toEqual([...new Set(levels)].sort((a, b) => a - b))
})

test.each([
  ['ve', veSde({ min: 0.01, max: 50 })],
  ['vp', vpSde()],
  ['sub-vp', subVpSde()],
])('%s: σ, drift and diffusion belong together, and its reverse recovers the modes’ weights', async (_, sde) => {
  for (const t of [0.1, 0.4, 0.8]) {
    const h = 1e-5
    const [before, after] = [levelOf(sde.path, sde.sigma(t - h)), levelOf(sde.path, sde.sigma(t + h))]
    expect((Math.log(after.alpha) - Math.log(before.alpha)) / (2 * h)).toBeCloseTo(sde.drift(t), 4)
    const { sigma } = levelOf(sde.path, sde.sigma(t))
    const growth = (after.sigma ** 2 - before.sigma ** 2) / (2 * h)
    expect(growth / (2 * sde.drift(t) * sigma ** 2 + sde.diffusion(t))).toBeCloseTo(1, 4)
  }
  const generator = new Generator(7)
  const top = levelOf(sde.path, sde.sigma(1))
  const start = generator.randn([2000, 2]).mul(Math.sqrt(top.sigma ** 2 + (sde.path.name === 've' ? 0 : top.alpha ** 2)))
  for (const predictor of ['reverse-diffusion', 'ancestral'] as const) {
    const sampling = predictorCorrector(mixture.denoiser(sde.path), start, sdeSigmas(sde, 150), {
      generator,
      path: sde.path,
      predictor,
      corrections: 0,
    })
    const share = mixture.classPosterior(await finish(sampling), levelOf(ve, 1e-3), 0)
    expect(share.reduce((a, b) => a + b, 0) / 2000).toBeCloseTo(0.3, 1)
  }
})

/** Squared energy distance between two sets of samples, [N, d] each. */
function energy(a: NdArray, b: NdArray): number {
  const rows = (x: NdArray) => x.toNested() as number[][]
  const mean = (p: number[][], q: number[][]) => {
    let sum = 0
    for (const u of p) for (const v of q) sum += Math.hypot(...u.map((c, j) => c - (v[j] as number)))
    return sum / (p.length * q.length)
  }
  const [p, q] = [rows(a), rows(b)]
  return 2 * mean(p, q) - mean(p, p) - mean(q, q)
}

// The start here is not the noised data, σ_max being near the data's own spread. A predictor carries that error to the end
// however many steps it has; a corrector forgets it.
test.each([50, 100])(
  '%d predictor–corrector steps beat twice as many of the predictor, from an imperfect start',
  async (steps) => {
    const sde = veSde({ min: 0.01, max: 1 })
    const run = (count: number, corrections: number) => {
      const generator = new Generator(9)
      const start = generator.randn([1000, 2])
      return finish(predictorCorrector(mixture.denoiser(ve), start, sdeSigmas(sde, count, 0), { generator, corrections }))
    }
    const real = mixture.sample(1000, new Generator(10))
    const [alone, both] = [energy(await run(2 * steps, 0), real), energy(await run(steps, 1), real)]
    expect(both).toBeLessThan(0.8 * alone)
  },
)

// With the start as it should be, what a predictor gets wrong is the spread: too wide by 3.6 % after 100 steps on these levels, by
// the recursion of the variance. 50 steps with a corrector leave 1.7 %. Below 1.3 %, half of snr², a corrector's own steps are the
// larger error, and in few dimensions, where norms of noise vary, its gain drowns.
test.each([
  ['exact', 0],
  ['imperfect', 0.1],
])(
  '50 predictor–corrector steps beat 100 of the predictor in 64 dimensions, with an %s score',
  { timeout: 120_000 },
  async (_, wrong) => {
    const [std, sde] = [0.3, veSde({ min: 0.01, max: 10 })]
    const data = new GaussianMixture([{ weight: 1, mean: new Array<number>(64).fill(0), std }])
    const denoise: Denoise = (x, sigma) => {
      const error = x.map((v, i) => wrong * sigma * Math.sin((2 * v) / Math.hypot(1, sigma) + 7 * Math.log(sigma) + i))
      return data.mean(x, levelOf(ve, sigma)).sub(error)
    }
    const tooWide = async (count: number, corrections: number) => {
      const generator = new Generator(9)
      const start = generator.randn([400, 64]).mul(10)
      const samples = await finish(predictorCorrector(denoise, start, sdeSigmas(sde, count, 1e-5), { generator, corrections }))
      return Math.sqrt(samples.square().mean().item()) / std - 1
    }
    const [alone, both] = [await tooWide(100, 0), await tooWide(50, 1)]
    expect(Math.abs(both)).toBeLessThan(0.8 * alone)
  },
)

test('annealed Langevin dynamics finds both modes', async () => {
  const generator = new Generator(4)
  const sigmas = veSde({ min: 0.05, max: 5 })
  const levels = sdeSigmas(sigmas, 60, 0)
  const start = generator.rand([600, 2]).sub(0.5).mul(10)
  const samples = await finish(annealedLangevin(mixture.denoiser(ve), start, levels, { generator, steps: 5, stepSize: 5e-4 }))
  const share = mixture.classPosterior(samples, levelOf(ve, 0.05), 0)
  expect(share.reduce((a, b) => a + b, 0) / 600).toBeCloseTo(0.3, 1)
  expect(energy(samples, mixture.sample(600, generator))).toBeLessThan(0.05)
})

test('the exact class score gives the exact conditional', async () => {
  const guided: Denoise = (x, sigma) => {
    const level: Level = levelOf(ve, sigma)
    return mixture.mean(x, level).add(mixture.classScore(x, level, 0).mul(sigma ** 2))
  }
  const x = new Generator(0).randn([100, 2])
  for (const sigma of [0.1, 1, 10])
    expect(
      (await guided(x, sigma))
        .sub(mixture.given(0).mean(x, levelOf(ve, sigma)))
        .abs()
        .max()
        .item(),
    ).toBeLessThan(2e-4 * Math.max(1, sigma))
  const generator = new Generator(12)
  const start = generator.randn([800, 2]).mul(50)
  const levels = sdeSigmas(veSde({ min: 0.01, max: 50 }), 100, 0)
  const samples = await finish(predictorCorrector(guided, start, levels, { generator, corrections: 0 }))
  expect(energy(samples, mixture.given(0).sample(800, generator))).toBeLessThan(0.01)
})

test('ratios σ/α and levels are each other’s inverse on every path', () => {
  for (const path of [ve, vp, subVp])
    for (const ratio of [0.01, 1, 70]) {
      const { alpha, sigma } = levelOf(path, sigmaFromRatio(path, ratio))
      expect(sigma / alpha / ratio).toBeCloseTo(1, 6)
    }
})

test('bits per dimension of a uniform 8-bit density are 8', () => {
  expect(bitsPerDimension(-12 * Math.log(2), 12)).toBeCloseTo(8)
  expect(bitsPerDimension(0, 12, '[0, 1]')).toBeCloseTo(8)
})
