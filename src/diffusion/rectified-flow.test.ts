import { expect, test } from 'vitest'
import { fixture, maxDifference, tensorOf } from '../../tests/fixture.ts'
import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { Generator } from '../runtime/random.ts'
import { fourierFilter, freeU } from './freeu.ts'
import { drawTimes, LossSecondMoment, type TimeDensity } from './losses.ts'
import { type FlowWeighting, flowPair, flowWeight, shiftTimes, timeAt, timeDensity } from './rectified-flow.ts'
import { resampleSigmas } from './sigmas.ts'

const diffusers = fixture('rectified_flow')
const seed = Number(diffusers.metadata.seed)

const densities: readonly [TimeDensity, max: number][] = [
  [{ kind: 'uniform', min: 0.2, max: 0.9 }, 1],
  [{ kind: 'logit-normal' }, 1],
  [{ kind: 'logit-normal', mean: 0.5, std: 0.6 }, 1],
  [{ kind: 'mode', scale: 1.29 }, 1],
  [{ kind: 'mode', scale: -0.9 }, 1],
  [{ kind: 'cosmap' }, 1],
  [{ kind: 'log-normal', mean: -1.2, std: 0.5 }, 3],
]

test.each(densities)('%j: below the time at a share lies that share of the density', (density) => {
  for (const u of [0.001, 0.02, 0.1, 0.5, 0.8, 0.99]) {
    const top = timeAt(density, u)
    const fine = 20_000
    let share = 0
    for (let i = 0; i < fine; i++) share += (timeDensity(density, (top * (i + 0.5)) / fine) * top) / fine
    // Times of "mode" fall.
    expect(Math.abs(share - (density.kind === 'mode' ? 1 - u : u)), `share ${u}`).toBeLessThan(2e-3)
  }
})

test.each(densities)('%j: the density integrates to 1 and is what the draws have', (density, max) => {
  const cells = 20
  const fine = 2000
  const mass = Array.from({ length: cells }, (_, c) => {
    let sum = 0
    for (let i = 0; i < fine; i++) sum += timeDensity(density, (max * (c + (i + 0.5) / fine)) / cells)
    return (sum * max) / (cells * fine)
  })
  expect(Math.abs(mass.reduce((a, b) => a + b, 0) - 1)).toBeLessThan(2e-3)
  const n = 40_000
  const counts = new Array<number>(cells).fill(0)
  for (const t of drawTimes(density, n, new Generator(1)).data as Float32Array) {
    const cell = Math.min(cells - 1, Math.floor((t / max) * cells))
    counts[cell] = (counts[cell] as number) + 1
  }
  for (const [c, share] of mass.entries()) {
    const spread = Math.sqrt((share * (1 - share)) / n)
    expect(Math.abs((counts[c] as number) / n - share), `cell ${c}`).toBeLessThan(5 * spread + 1e-4)
  }
})

test.each([
  ['logit_normal', { kind: 'logit-normal', mean: 0.3, std: 0.8 }],
  ['mode', { kind: 'mode', scale: 1.29 }],
  ['none', { kind: 'uniform' }],
] as const)('times of %s are those of diffusers for a seed', (scheme, density) => {
  expect(maxDifference(drawTimes(density, 64, new Generator(seed)), tensorOf(diffusers, `times.${scheme}`))).toBeLessThan(1e-6)
})

test.each(['sigma_sqrt', 'cosmap', 'logit_normal', 'none'] as const)(
  'weights of %s are those of diffusers',
  (scheme: FlowWeighting) => {
    const expected = tensorOf(diffusers, `weights.${scheme}`)
    const weights = tensorOf(diffusers, 'sigmas').map((sigma) => flowWeight(scheme, sigma))
    expect(maxDifference(weights.div(expected), NdArray.full(expected.shape, 1))).toBeLessThan(1e-5)
  },
)

test('cosmap weighs as often as it would draw', () => {
  for (const t of [0.1, 0.5, 0.8]) expect(flowWeight('cosmap', t)).toBeCloseTo(timeDensity({ kind: 'cosmap' }, t), 12)
})

test('a mode that folds times over is refused', () => {
  expect(() => timeDensity({ kind: 'mode', scale: 2 }, 0.5)).toThrow(ArgumentError)
  expect(() => drawTimes({ kind: 'mode', scale: 2 }, 4, new Generator(0))).toThrow(/scale is 2; expected −1 … 1.75/)
})

test('a pair of a flow: x moves along the target, from data to noise', () => {
  const g = new Generator(2)
  const [data, noise] = [g.randn([3, 2, 4]), g.randn([3, 2, 4])]
  const { x, target } = flowPair(data, noise, NdArray.from([0, 0.25, 1]))
  expect(maxDifference(x.row(0), data.row(0))).toBe(0)
  expect(maxDifference(x.row(2), noise.row(2))).toBeLessThan(1e-6)
  expect(maxDifference(x.row(1), data.row(1).mul(0.75).add(noise.row(1).mul(0.25)))).toBeLessThan(1e-6)
  expect(maxDifference(target, noise.sub(data))).toBe(0)
  expect(() => flowPair(data, noise, NdArray.from([0.5]))).toThrow(/a time for each of 3 samples, got \[1\]/)
  expect(shiftTimes(NdArray.from([0, 0.5, 1]), 3).toNested()).toEqual([0, 0.75, 1])
})

test('FreeU is that of diffusers: half the backbone raised, the lowest frequencies of the skip connection lowered', () => {
  const at = (key: string) => tensorOf(diffusers, `freeu.${key}`)
  const [raised, filtered] = freeU(at('hidden'), at('skip'), { backbone: 1.4, skip: 0.2 })
  expect(maxDifference(raised, at('raised'))).toBeLessThan(1e-6)
  expect(maxDifference(filtered, at('filtered'))).toBeLessThan(1e-5)
  expect(maxDifference(fourierFilter(at('skip'), 1), at('skip'))).toBe(0)
})

test('losses of 0 leave the timesteps even', () => {
  const sampler = new LossSecondMoment(4, { history: 1 })
  sampler.update([0, 1, 2, 3], [0, 0, 0, 0])
  expect(sampler.probabilities()).toEqual([0.25, 0.25, 0.25, 0.25])
})

test('one level cannot be stretched', () => expect(() => resampleSigmas([3, 0], 5)).toThrow(/at least 2 levels above 0, got 1/))
