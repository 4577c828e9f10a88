import { expect, test } from 'vitest'
import { measure, solvers } from '../../../tests/convergence.ts'
import { ArgumentError } from '../../core/errors.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { finish, finite, NonFiniteError, type Sampling } from '../denoiser.ts'
import { GaussianMixture } from '../oracle.ts'
import { ve, vp } from '../paths.ts'
import { alignYourSteps, exponentialSigmas, karrasSigmas, resampleSigmas } from '../sigmas.ts'
import { lms, pndm } from './adams.ts'
import { ddim } from './ddim.ts'
import { ddpm } from './ddpm.ts'
import { dpmppSde, dpmSolver } from './dpm-solver.ts'
import { churned, dpm2Ancestral, euler, eulerAncestral, heun } from './euler.ts'
import { exponentialStep, lagrange, moments, multistep } from './exponential.ts'
import { saSolver } from './unipc.ts'

test('every solver converges with its order', async () => {
  const rows = []
  for (const solver of solvers) {
    const { slope, error } = await measure(solver)
    rows.push({ solver: solver.name, order: solver.order, measured: Number(slope.toFixed(2)), error })
    expect.soft(Math.abs(slope - solver.order), solver.name).toBeLessThanOrEqual(0.15)
  }
  console.table(rows)
})

test('moments of e^(−L(1−u)) are exact on both sides of the series', () => {
  for (const length of [-3, -0.49, 0.01, 0.499, 0.501, 7])
    for (const [k, moment] of moments(length, 4).entries()) {
      const n = 20_000
      let sum = 0
      for (let i = 0; i < n; i++) {
        const u = (i + 0.5) / n
        sum += (length * Math.exp(-length * (1 - u)) * u ** k) / n
      }
      expect(moment).toBeCloseTo(sum, 6)
    }
  expect(moments(Infinity, 2)).toEqual([1, 1])
})

test('Lagrange rows are 1 at their own place and 0 at the others', () => {
  const places = [0, -0.7, -1.9, 1]
  const at = (row: readonly number[], u: number) => row.reduce((sum, a, k) => sum + a * u ** k, 0)
  for (const [i, row] of lagrange(places).entries())
    for (const [j, u] of places.entries()) expect(at(row, u)).toBeCloseTo(i === j ? 1 : 0, 12)
})

test('a step from a level to itself changes nothing; one to σ = 0 gives the data', () => {
  const level = { sigma: 0.6, alpha: 0.8, lambda: Math.log(0.8 / 0.6) }
  expect(exponentialStep({ form: 'data' }, level, { ...level }, [level])).toEqual({ keep: 1, use: [0], noise: 0 })
  const clean = { sigma: 0, alpha: 1, lambda: Infinity }
  expect(exponentialStep({ form: 'data', tau: 1 }, level, clean, [level])).toEqual({ keep: 0, use: [1], noise: 0 })
  const noise = exponentialStep({ form: 'noise' }, level, clean, [level])
  expect(noise.keep).toBeCloseTo(1.25)
  expect(noise.use[0]).toBeCloseTo(-0.75)
})

const mixture = new GaussianMixture([
  { weight: 0.25, mean: [-2], std: 0.3 },
  { weight: 0.75, mean: [1], std: 0.5 },
])
const clean = exponentialSigmas({ min: 0.01, max: 40, steps: 60 })
const cleanVp = clean.map((ratio) => ratio / Math.sqrt(1 + ratio * ratio))

/** The largest gap between the samples' distribution and the mixture's. */
function gap(samples: NdArray): number {
  const sorted = samples.cast('f32').data.slice().sort()
  const erf = (x: number) => {
    const t = 1 / (1 + 0.3275911 * Math.abs(x))
    const poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return Math.sign(x) * (1 - poly * Math.exp(-x * x))
  }
  const below = (x: number) =>
    mixture.components.reduce(
      (sum, { weight, mean, std }) => sum + (weight * (1 + erf((x - (mean[0] as number)) / (std * Math.SQRT2)))) / 2,
      0,
    )
  return Math.max(...sorted.map((x, i) => Math.abs(below(x) - (i + 0.5) / sorted.length)))
}

const count = 4000
// A sample of 4000 from the right distribution has a gap above 0.031 once in a thousand times; 0.04 leaves room for 60 steps.
test.each([
  'eulerAncestral',
  'dpm2Ancestral',
  'dpmppSde',
  'euler with churn',
  'ddpm',
  'ddim η=1',
  'sde-dpmsolver++ 2M',
  'sa-solver',
])('%s samples the mixture', async (name) => {
  const generator = new Generator(11)
  const start = generator.randn([count, 1])
  const [large, unit] = [start.mul(40), start]
  const d = mixture.denoiser(ve)
  const p = mixture.denoiser(vp)
  const samplers: Record<string, () => Sampling> = {
    eulerAncestral: () => eulerAncestral(d, large, clean, { generator }),
    dpm2Ancestral: () => dpm2Ancestral(d, large, clean, { generator }),
    dpmppSde: () => dpmppSde(d, large, clean, { generator }),
    'euler with churn': () => heun(d, large, clean, { perturb: churned({ amount: 20 }, clean.length - 1, generator) }),
    ddpm: () => ddpm(p, unit, cleanVp, { generator }),
    'ddim η=1': () => ddim(p, unit, cleanVp, { generator, eta: 1 }),
    'sde-dpmsolver++ 2M': () => multistep(p, unit, cleanVp, dpmSolver({ stochastic: true }), { generator }),
    'sa-solver': () => multistep(p, unit, cleanVp, saSolver({ tau: () => 0.6 }), { generator }),
  }
  expect(gap(await finish((samplers[name] as () => Sampling)()))).toBeLessThan(0.04)
})

test('DDIM beats η = 1 at 10 steps, and encodes and decodes with an error that falls with the steps', async () => {
  const p = mixture.denoiser(vp)
  const levels = (n: number, min = 0.01) => exponentialSigmas({ min, max: 40, steps: n + 1 }).map((r) => r / Math.sqrt(1 + r * r))
  const generator = new Generator(3)
  const start = generator.randn([count, 1])
  const [plain, noisy] = [
    await finish(ddim(p, start, levels(10))),
    await finish(ddim(p, start, levels(10), { eta: 1, generator })),
  ]
  expect(gap(plain)).toBeLessThan(gap(noisy))
  const data = mixture.sample(200, generator)
  const errors = []
  for (const n of [10, 20, 40, 80]) {
    const down = levels(n)
    const latent = await finish(ddim(p, data, [...down].reverse()))
    errors.push((await finish(ddim(p, latent, down))).sub(data).square().mean().item())
  }
  expect(errors).toEqual([...errors].sort((a, b) => b - a))
  expect(errors[3]).toBeLessThan((errors[0] as number) / 20)
})

test('levels that do not fall, are not numbers or are too few are refused, and noise needs a generator', async () => {
  const d = mixture.denoiser(ve)
  const x = NdArray.full([1, 1], 1)
  const failing: [Sampling, RegExp][] = [
    [euler(d, x, [1]), /at least 2 noise levels/],
    [euler(d, x, [1, 2]), /must fall, but sigmas\[0\] is 1 and sigmas\[1\] is 2/],
    [heun(d, x, [2, NaN]), /sigmas\[1\] is NaN/],
    [multistep(d, x, [0.9, 0.5, 0.5, 0.1], dpmSolver()), /sigmas\[1\] and sigmas\[2\] are both 0.5/],
    [lms(d, x, [2, 2]), /must fall/],
    [pndm(d, x, []), /at least 2/],
    [ddim(d, x, [0.5]), /at least 2|NaN/],
    [ddpm(d, x, [0.5, 0.1]), /pass \{ generator: new Generator\(seed\) \}/],
    [ddim(d, x, [0.5, 0.1], { eta: 1 }), /ddim with eta 1.*generator/],
    [multistep(d, x, [0.5, 0.1], dpmSolver({ stochastic: true })), /generator/],
  ]
  for (const [sampling, message] of failing) {
    const failed = await finish(sampling).catch((error: unknown) => error)
    expect(failed).toBeInstanceOf(ArgumentError)
    expect((failed as Error).message).toMatch(message)
  }
  expect(() => karrasSigmas({ min: 0, max: 1, steps: 3 })).toThrow(ArgumentError)
})

test('a caller can stop in the middle, and sees every step in order', async () => {
  const seen: number[] = []
  for await (const { i, sigma, denoised } of euler(mixture.denoiser(ve), NdArray.full([1, 1], 3), [4, 3, 2, 1, 0])) {
    seen.push(i)
    expect(sigma).toBe(4 - i)
    expect(denoised.allFinite()).toBe(true)
    if (i === 2) break
  }
  expect(seen).toEqual([0, 1, 2])
})

test('a checked denoiser names the evaluation that gave NaN', async () => {
  const broken = finite((x, sigma) => (sigma < 2.5 ? x.mul(NaN) : x))
  const failed = await finish(euler(broken, NdArray.full([1, 1], 3), [4, 3, 2, 1, 0])).catch((error: unknown) => error)
  expect(failed).toBeInstanceOf(NonFiniteError)
  expect(failed).toMatchObject({ step: 2 })
})

test('ten-step schedules stretch to other numbers of steps', () => {
  const { sigmas, timesteps } = alignYourSteps.stableDiffusion
  expect([sigmas.length, timesteps.length]).toEqual([11, 10])
  for (const [i, sigma] of resampleSigmas(sigmas, 10).entries()) expect(sigma).toBeCloseTo(sigmas[i] as number, 10)
  const more = resampleSigmas(sigmas, 25)
  expect([more.length, more[0], more.at(-1)]).toEqual([26, expect.closeTo(14.615), 0])
  expect(more).toEqual([...more].sort((a, b) => b - a))
})
