import { expect, test } from 'vitest'
import { maxDifference } from '../../tests/fixture.ts'
import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { Generator } from '../runtime/random.ts'
import { type Denoise, finish } from './denoiser.ts'
import { constrained, fromPicture, greyBasis, inBasis, noised, repaint, repaintVisits, replacement, slerp } from './editing.ts'
import {
  adaptivePerturbedScale,
  type Conditional,
  classifierFree,
  composed,
  contrast,
  extrapolate,
  gradientGuided,
  perturbedGuidance,
  projected,
  regional,
  rescaled,
} from './guidance.ts'
import { averaging, blurring, type LinearOperator, masking, posteriorGuided, pseudoInverseGuided } from './inverse.ts'
import { GaussianMixture } from './oracle.ts'
import { levelOf, ve, vp } from './paths.ts'
import { ddim } from './samplers/ddim.ts'
import { ddpm } from './samplers/ddpm.ts'
import { dpmSolver } from './samplers/dpm-solver.ts'
import { multistep } from './samplers/exponential.ts'
import { exponentialSigmas } from './sigmas.ts'

const levels = (n: number, min = 0.01) => exponentialSigmas({ min, max: 60, steps: n + 1 }).map((r) => r / Math.sqrt(1 + r * r))

const mixture = new GaussianMixture([
  { weight: 0.5, mean: [-1, -1], std: 0.2, label: 0 },
  { weight: 0.5, mean: [1, 1], std: 0.3, label: 1 },
])
/** A conditional denoiser: label 0 or 1, or −1 for none. */
const oracle: Conditional<number> = (x, sigma, labels) => {
  const size = (x.shape[0] as number) / labels.length
  const part = (k: number) => x.slice(0, k * size, (k + 1) * size)
  return NdArray.concat(labels.map((l, k) => (l < 0 ? mixture : mixture.given(l)).mean(part(k), levelOf(vp, sigma))))
}
const x = new Generator(0).randn([6, 2])

test('classifier-free guidance: 0 is unconditional, 1 conditional, one batch for both, nothing outside its interval', async () => {
  const options = { condition: 1, unconditional: -1 }
  const plain = await mixture.mean(x, levelOf(vp, 0.5))
  const conditional = await mixture.given(1).mean(x, levelOf(vp, 0.5))
  expect(maxDifference(await classifierFree(oracle, { ...options, scale: 0 })(x, 0.5), plain)).toBeLessThan(1e-6)
  expect(maxDifference(await classifierFree(oracle, { ...options, scale: 1 })(x, 0.5), conditional)).toBe(0)
  expect(maxDifference(await classifierFree(oracle, { ...options, scale: 3 })(x, 0.5), extrapolate(conditional, plain, 3))).toBe(
    0,
  )
  const batches: number[] = []
  const counting: Conditional<number> = (at, sigma, labels) => {
    batches.push(labels.length)
    return oracle(at, sigma, labels)
  }
  const limited = classifierFree(counting, { ...options, scale: 3, interval: [0.2, 0.8] })
  for (const sigma of [0.1, 0.2, 0.5, 0.8, 0.9]) await limited(x, sigma)
  expect(batches).toEqual([1, 1, 2, 2, 1])
})

test('rescaling brings the standard deviation back, sample by sample', () => {
  const [guided, conditional] = [x.mul(5), x]
  const over = { axes: [1] }
  expect(maxDifference(rescaled(guided, conditional, 1).std(over), conditional.std(over))).toBeLessThan(1e-5)
  expect(rescaled(guided, conditional, 0)).toBe(guided)
})

test('gradient guidance at scale 1 with the exact classifier is the exact conditional', async () => {
  for (const sigma of [0.2, 0.9]) {
    const guided = gradientGuided(mixture.denoiser(vp), (at, s) => mixture.classScore(at, levelOf(vp, s), 0))
    expect(maxDifference(await guided(x, sigma), mixture.given(0).mean(x, levelOf(vp, sigma)))).toBeLessThan(1e-4)
  }
})

test('projected guidance: parallel 1 without limits is plain guidance; parallel 0 adds nothing along the prediction', async () => {
  const options = { condition: 1, unconditional: -1, scale: 4 }
  const plain = await classifierFree(oracle, options)(x, 0.6)
  expect(maxDifference(await projected(oracle, { ...options, parallel: 1 })(x, 0.6), plain)).toBeLessThan(1e-5)
  const c = mixture.given(1).mean(x, levelOf(vp, 0.6))
  const added = (await projected(oracle, options)(x, 0.6)).sub(c)
  expect(
    added
      .mul(c)
      .sum({ axes: [1] })
      .abs()
      .max()
      .item(),
  ).toBeLessThan(1e-5)
  const short = (await projected(oracle, { ...options, parallel: 1, radius: 0.01 })(x, 0.6)).sub(c)
  expect(
    short
      .norm({ axes: [1] })
      .max()
      .item(),
  ).toBeCloseTo(0.03, 5)
})

test('regions keep to their masks; composition and contrast extrapolate', async () => {
  const at = new Generator(1).randn([1, 2])
  const parts = [0, 1].map((label) => mixture.given(label).mean(at, levelOf(vp, 0.5)))
  const masks = [NdArray.from([[1, 0]]), NdArray.from([[0, 1]])]
  const merged = await regional(
    oracle,
    [0, 1].map((condition) => ({ condition, mask: masks[condition] as NdArray })),
  )(at, 0.5)
  expect(merged.data[0]).toBe(parts[0]?.data[0])
  expect(merged.data[1]).toBe(parts[1]?.data[1])
  expect(() => regional(oracle, [{ condition: 0, mask: masks[0] as NdArray }])).toThrow(ArgumentError)
  const one = await composed(oracle, -1, [{ condition: 1, scale: 2 }])(at, 0.5)
  expect(maxDifference(one, extrapolate(parts[1] as NdArray, mixture.mean(at, levelOf(vp, 0.5)), 2))).toBeLessThan(1e-6)
  const worse: Denoise = (v) => v.mul(0)
  expect(
    maxDifference(await contrast(mixture.denoiser(vp), worse, 0.5)(at, 0.5), mixture.mean(at, levelOf(vp, 0.5)).mul(1.5)),
  ).toBeLessThan(1e-6)
})

test.each([
  ['masking', masking(NdArray.from([[1, 0, 1, 0]])), [1, 2, 4, 4]],
  ['averaging', averaging(2), [2, 3, 4, 6]],
  ['blurring', blurring(new Generator(3).randn([3, 5])), [2, 3, 4, 6]],
] as [string, LinearOperator, number[]][])('%s: the adjoint is the transpose', (_, { forward, adjoint }, shape) => {
  const g = new Generator(2)
  const v = g.randn(shape)
  const image = forward(v)
  const w = g.randn(image.shape)
  expect(image.dot(w)).toBeCloseTo(v.dot(adjoint(w)), 3)
})

test('pseudo-inverse guidance samples the exact posterior of Gaussian data', async () => {
  // x0 ~ N(0, s²) in two dimensions, y = (x0[0] + x0[1])/2 + noise: mean and covariance by Bayes' rule.
  const std = 0.8
  const gaussian = new GaussianMixture([{ weight: 1, mean: [0, 0], std }])
  const half = NdArray.from([[0.5], [0.5]])
  const operator: LinearOperator = { forward: (v) => v.matmul(half), adjoint: (v) => v.matmul(half.transpose()) }
  const [noise, count] = [0.3, 3000]
  const measurement = NdArray.full([count, 1], 1)
  const guided = pseudoInverseGuided(gaussian.denoiser(vp), { operator, measurement, noise, dataStd: std })
  const generator = new Generator(8)
  const samples = await finish(multistep(guided, generator.randn([count, 2]), levels(40), dpmSolver()))
  const gain = (0.5 * std ** 2) / (0.5 * std ** 2 + noise ** 2)
  const mean = samples.mean({ axes: [0] }).data
  for (const m of mean) expect(Math.abs(m - gain)).toBeLessThan(0.04)
  const variance = samples.std({ axes: [0] }).square().data
  for (const v of variance) expect(Math.abs(v - std ** 2 * (1 - gain / 2))).toBeLessThan(0.05)
})

test('diffusion posterior sampling fits the measurement far better than no guidance', async () => {
  const count = 200
  const operator = masking(NdArray.from([[1, 0]]))
  const measurement = NdArray.from([[1, 0]]).expand([count, 2])
  const residual = (samples: NdArray) => operator.forward(samples).sub(measurement).square().mean().item()
  const run = (denoise: Denoise) => {
    const generator = new Generator(5)
    return finish(ddim(denoise, generator.randn([count, 2]), levels(60)))
  }
  const [free, guided] = [
    await run(mixture.denoiser(vp)),
    await run(posteriorGuided(mixture.denoiser(vp), { operator, measurement, scale: 1 })),
  ]
  expect(residual(guided)).toBeLessThan(residual(free) / 10)
  // The unmeasured half follows the measured one towards the mode at (1, 1).
  expect(guided.slice(1, 1).mean().item()).toBeGreaterThan(0.5)
})

test('colours part from grey in an orthonormal basis, and replacement keeps the known part', () => {
  const picture = new Generator(4).randn([2, 3, 4, 4])
  expect(
    maxDifference(
      greyBasis.matmul(greyBasis.transpose()),
      NdArray.from([
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
      ]),
    ),
  ).toBeLessThan(1e-6)
  expect(maxDifference(inBasis(inBasis(picture, greyBasis), greyBasis.transpose()), picture)).toBeLessThan(1e-5)
  const grey = inBasis(picture, greyBasis).slice(1, 0, 1)
  expect(maxDifference(grey, picture.mean({ axes: [1], keep: true }).mul(Math.sqrt(3)))).toBeLessThan(1e-5)
  const mask = NdArray.from([1, 0, 0]).reshape([1, 3, 1, 1])
  const state = new Generator(6).randn(picture.shape)
  const clean = levelOf(vp, 0)
  const kept = replacement({ data: picture, mask, generator: new Generator(0), basis: greyBasis })(state, clean)
  expect(maxDifference(inBasis(kept, greyBasis).slice(1, 0, 1), grey)).toBeLessThan(1e-5)
  expect(maxDifference(inBasis(kept, greyBasis).slice(1, 1), inBasis(state, greyBasis).slice(1, 1))).toBeLessThan(1e-5)
})

/** The mean distance of the unknown half to its exact conditional given the known half at 1: the mode at (1, 1). */
const wrong = (samples: NdArray) =>
  samples
    .slice(1, 1)
    .map((v) => (v < 0 ? 1 : 0))
    .mean()
    .item()

test('replacement in-painting is approximate, and RePaint’s going back brings it nearer the conditional', async () => {
  const count = 1500
  const [known, mask] = [NdArray.from([[0.4, 0]]).expand([count, 2]), NdArray.from([[1, 0]])]
  // At 0.4 the first mode is all but excluded: the exact conditional has less than one in a thousand below 0.
  const generator = new Generator(2)
  const start = generator.randn([count, 2])
  const down = [...levels(20), 0]
  const plain = await finish(
    ddpm(constrained(mixture.denoiser(vp), { data: known, mask, generator }), start, down, { generator }),
  )
  const visits = repaintVisits(21, { length: 3, times: 6 })
  const at = (visit: number) => down[down.length - 2 - visit] as number
  const hops = visits.map(
    (t, i) => (i > 0 && t > (visits[i - 1] as number) ? [at(t - 2), at(t - 1)] : [at(t), at(t - 1)]) as [number, number],
  )
  const back = await finish(repaint(mixture.denoiser(vp), start, hops, { known, mask, generator }))
  expect(maxDifference(back.slice(1, 0, 1), known.slice(1, 0, 1))).toBe(0)
  expect(maxDifference(plain.slice(1, 0, 1), known.slice(1, 0, 1))).toBeLessThan(1e-6)
  expect(wrong(back)).toBeLessThan(wrong(plain))
})

test('SDEdit starts from the picture at the level of its strength; strength 1 runs the whole schedule', async () => {
  const data = mixture.sample(200, new Generator(1))
  const down = levels(20)
  const generator = new Generator(3)
  const weak = fromPicture(data, down, { strength: 0.25, generator })
  expect(weak.sigmas).toEqual(down.slice(15))
  expect(fromPicture(data, down, { strength: 1, generator }).sigmas).toEqual(down)
  const edited = await finish(ddim(mixture.denoiser(vp), weak.x, weak.sigmas))
  expect(edited.sub(data).square().mean().item()).toBeLessThan(0.05)
  expect(() => fromPicture(data, down, { strength: 0, generator })).toThrow(ArgumentError)
})

test('slerp between noises keeps their length; its ends are the noises', () => {
  const g = new Generator(0)
  const [a, b] = [g.randn([1000]), g.randn([1000])]
  expect(maxDifference(slerp(a, b, 0), a)).toBeLessThan(1e-6)
  expect(maxDifference(slerp(a, b, 1), b)).toBeLessThan(1e-6)
  expect(slerp(a, b, 0.5).norm().item() / a.norm().item()).toBeCloseTo(1, 1)
  expect(maxDifference(slerp(a, a, 0.3), a)).toBeLessThan(1e-5)
  expect(maxDifference(noised(a, b, levelOf(ve, 2)), a.add(b.mul(2)))).toBe(0)
})

test('perturbed guidance: u + s(c − u) + p(c − ĉ), within its interval, and not evaluated where p is 0', async () => {
  let calls = 0
  const perturbed: Conditional<number> = (at, sigma, labels) => {
    calls++
    return NdArray.concat(labels.map(() => at.mul(0.1 * sigma)))
  }
  const options = { condition: 1, unconditional: -1, scale: 3, perturbed, perturbedScale: 2 }
  const [c, u] = [await oracle(x, 0.6, [1]), await oracle(x, 0.6, [-1])]
  const plain = extrapolate(c, u, 3)
  const all = plain.add(c.sub(x.mul(0.06)).mul(2))
  expect(maxDifference(await perturbedGuidance(oracle, options)(x, 0.6), all)).toBeLessThan(1e-5)
  expect(
    maxDifference(await perturbedGuidance(oracle, { ...options, rescale: 0.7 })(x, 0.6), rescaled(all, c, 0.7)),
  ).toBeLessThan(1e-5)
  expect(calls).toBe(2)
  expect(maxDifference(await perturbedGuidance(oracle, { ...options, interval: [0, 0.5] })(x, 0.6), plain)).toBeLessThan(1e-5)
  expect(maxDifference(await perturbedGuidance(oracle, { ...options, perturbedScale: () => 0 })(x, 0.6), plain)).toBeLessThan(
    1e-5,
  )
  expect(calls).toBe(2)
  const alone = await perturbedGuidance(oracle, { ...options, scale: 1 })(x, 0.6)
  expect(maxDifference(alone, c.add(c.sub(x.mul(0.06)).mul(2)))).toBeLessThan(1e-5)
  expect([1000, 900, 200].map(adaptivePerturbedScale(3, 0.01))).toEqual([3, 2, 0])
})

test('a condition of a composition may act in its mask only', async () => {
  const mask = NdArray.from([[1, 0]])
  const [c, u] = [await oracle(x, 0.5, [1]), await oracle(x, 0.5, [-1])]
  const guided = await composed(oracle, -1, [{ condition: 1, scale: 2, mask }])(x, 0.5)
  expect(maxDifference(guided.slice(1, 0, 1), extrapolate(c, u, 2).slice(1, 0, 1))).toBeLessThan(1e-5)
  expect(maxDifference(guided.slice(1, 1), u.slice(1, 1))).toBeLessThan(1e-5)
  expect(() => composed(oracle, -1, [])).toThrow(/at least one condition/)
})
