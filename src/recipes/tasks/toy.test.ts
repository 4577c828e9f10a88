import { expect, test } from 'vitest'
import type { BinomialDiffusion, BitFlip } from '../../diffusion/binomial.ts'
import { scoreMatchingWeight, vpSde } from '../../diffusion/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { Generator } from '../../runtime/random.ts'
import { adamw } from '../../training/optimizer.ts'
import { TrainingStep } from '../../training/step.ts'
import type { RecipeType } from '../recipe.ts'
import { heartbeatProcess, heartbeatReverse, heartbeatSchema, heartbeats, heartbeatTruth, heartbeatType } from './heartbeat.ts'
import { scoreTimes } from './score.ts'
import { sampleSwissRoll, swissRollBound, swissRollNull, swissRollPoints, swissRollSchema, swissRollType } from './swiss-roll.ts'

/** Weights after some steps of Adam at one rate; the initial ones after none. */
async function trained<C extends object>(kind: RecipeType, config: C, steps: number, { rate = 0.02, batchSize = 16 } = {}) {
  const { task } = await kind.job(config as never, { batchSize, seed: 0 })
  const optimizer = adamw({ weightDecay: 0 })
  const step = await TrainingStep.compile(task, task.params.initialise(new Generator(0)), { optimizer, maxGradNorm: 1 })
  for (let i = 1; i <= steps; i++) await step.run([await task.batch(new Generator(i), i)], optimizer.scalars(i, rate))
  const weights = await step.weights()
  await step.release()
  return weights
}
const bare = <K>(kind: K) => kind as unknown as RecipeType

test('swiss roll: K = L_null for Gaussian data before any training, and less for data further out', async () => {
  const config = swissRollSchema.parse({ steps: 10 })
  const weights = await trained(bare(swissRollType), config, 0)
  const generator = new Generator(1)
  const z = generator.randn([4000, 2])
  const data = z.sub(z.mean({ axes: [0] })).div(z.std({ axes: [0] }))
  expect(Math.abs((await swissRollBound(config, weights, data, generator)) - swissRollNull)).toBeLessThan(0.02)
  // −log₂ p of a point twice as far out, under N(0, I): E‖x‖²/2 grows from 1 to 4 nats.
  const far = await swissRollBound(config, weights, data.mul(2), generator)
  expect(far - swissRollNull).toBeCloseTo(-3 / Math.LN2, 1)
})

test('swiss roll: some steps of training raise K above L_null, and its samples keep unit size', async () => {
  const config = swissRollSchema.parse({ steps: 12 })
  const weights = await trained(bare(swissRollType), config, 250, { rate: 0.05, batchSize: 32 })
  const generator = new Generator(2)
  const data = swissRollPoints(config, 2000, generator)
  expect(data.square().mean().item()).toBeCloseTo(1, 1)
  expect((await swissRollBound(config, weights, data, generator)) - swissRollNull).toBeGreaterThan(0.3)
  const { path, betas } = await sampleSwissRoll(config, weights, 500, generator)
  expect(path).toHaveLength(13)
  expect(betas[0]).toBeCloseTo(config.first_beta, 8)
  expect((path.at(-1) as NdArray).square().mean().item()).toBeCloseTo(1, 0)
})

/** Rows of all strings of n bits. */
const strings = (n: number) =>
  NdArray.from(
    Array.from({ length: 2 ** n * n }, (_, i) => (Math.floor(i / n) >> (i % n)) & 1),
    [2 ** n, n],
  )

/** Σ_x share(x)·Π Bernoulli(p(x)) over all strings. */
function push(share: Float64Array, p: NdArray, bits: number): Float64Array {
  const next = new Float64Array(share.length)
  for (const [row, weight] of share.entries()) {
    let spread = [weight]
    for (let i = 0; i < bits; i++) {
      const one = p.data[row * bits + i] as number
      spread = [...spread.map((s) => s * (1 - one)), ...spread.map((s) => s * one)]
    }
    for (const [to, s] of spread.entries()) next[to] = (next[to] as number) + s
  }
  return next
}

/** Mean of log₂ p(x_0) over the data, by dynamic programming over all strings; and K, by summing over all x_t. */
async function exactly(process: BinomialDiffusion, flip: BitFlip, data: NdArray): Promise<{ logp: number; bound: number }> {
  const [count, bits] = data.shape as [number, number]
  const all = strings(bits)
  const chance = (p: number, bit: number) => (bit === 1 ? p : 1 - p)
  let share: Float64Array = Float64Array.from({ length: 2 ** bits }, (_, row) =>
    Array.from({ length: bits }, (_, i) => chance(process.rate, (row >> i) & 1)).reduce((a, b) => a * b, 1),
  )
  let bound = process.entropies(data).mean().item()
  for (let t = process.steps; t >= 2; t--) {
    const p = await flip(all, t)
    for (let row = 0; row < count; row++)
      for (let s = 0; s < 2 ** bits; s++) {
        const x0 = (i: number) => data.data[row * bits + i] as number
        const seen = Array.from({ length: bits }, (_, i) => chance(process.marginal(x0(i), t), (s >> i) & 1)).reduce(
          (a, b) => a * b,
        )
        for (let i = 0; i < bits; i++) {
          const [q, r] = [process.posterior((s >> i) & 1, x0(i), t), p.data[s * bits + i] as number]
          bound -= (seen / count) * (q * Math.log2(q / r) + (1 - q) * Math.log2((1 - q) / (1 - r)))
        }
      }
    share = push(share, p, bits)
  }
  share = push(share, process.lastStep(all), bits)
  const index = (row: number) =>
    Array.from({ length: bits }, (_, i) => (data.data[row * bits + i] as number) << i).reduce((a, b) => a + b)
  const logs = Array.from({ length: count }, (_, row) => Math.log2(share[index(row)] as number))
  return { logp: logs.reduce((a, b) => a + b) / count, bound }
}

test('heartbeat of 10 bits: K ≤ log p exactly, tighter and higher with training, and Monte Carlo agrees', async () => {
  const config = heartbeatSchema.parse({ bits: 10, steps: 8, readouts: 7, widths: [24, 24], times: 14 })
  const [process, data] = [heartbeatProcess(config), heartbeats(config)]
  const { truth, null: nothing } = heartbeatTruth(config)
  const found = []
  for (const steps of [0, 400]) {
    const { flip, release } = heartbeatReverse(config, await trained(bare(heartbeatType), config, steps))
    found.push(await exactly(process, flip, data))
    if (steps > 0) {
      const many = NdArray.concat(Array.from({ length: 400 }, () => data))
      const estimate = await process.bound(flip, many, new Generator(3))
      const error = estimate.std().item() / Math.sqrt(2000)
      expect(Math.abs(estimate.mean().item() - (found[1]?.bound as number))).toBeLessThan(4 * error)
    }
    await release()
  }
  const [before, after] = found as [{ logp: number; bound: number }, { logp: number; bound: number }]
  expect(before.bound).toBeLessThan(before.logp)
  expect(before.logp).toBeLessThan(nothing)
  expect(after.bound).toBeLessThan(after.logp)
  expect(after.logp).toBeLessThan(truth)
  expect(after.bound).toBeGreaterThan(before.bound + 2)
}, 60_000)

test('heartbeats are what their name says', () => {
  expect(heartbeats({ bits: 6, period: 3 }).toNested()).toEqual([
    [1, 0, 0, 1, 0, 0],
    [0, 1, 0, 0, 1, 0],
    [0, 0, 1, 0, 0, 1],
  ])
  expect(() => heartbeatSchema.parse({ bits: 20, period: 3 })).toThrow(/must divide/)
})

test('score times: likelihood draws them by g²/σ², so that plain means are likelihood-weighted ones', () => {
  const vp = { beta_min: 0.1, beta_max: 20, sampling_eps: 1e-3 }
  const sde = vpSde({ min: vp.beta_min, max: vp.beta_max })
  const n = 20_000
  const even = Array.from({ length: n }, (_, i) => (i + 0.5) / n)
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length
  const simple = scoreTimes(even, { sde: vp, weighting: 'simple' })
  const drawn = scoreTimes(even, { sde: vp, weighting: 'likelihood' })
  expect([simple[0], simple.at(-1)].map((t) => Number(t?.toFixed(3)))).toEqual([0.001, 1])
  expect(Math.min(...drawn)).toBeGreaterThanOrEqual(vp.sampling_eps)
  // ‖s + z/σ‖² is ‖σs + z‖²/σ²: g² on the first is g²/σ² on what the network is trained by.
  const weight = (t: number) => scoreMatchingWeight(sde, t, 'likelihood') / sde.sigma(t) ** 2
  const fine = Array.from({ length: 400_000 }, (_, i) => vp.sampling_eps + ((i + 0.5) / 400_000) * (1 - vp.sampling_eps))
  const total = mean(fine.map(weight))
  for (const f of [(t: number) => t, (t: number) => sde.sigma(t), (t: number) => Math.cos(5 * t)])
    expect(mean(drawn.map(f))).toBeCloseTo(mean(fine.map((t) => weight(t) * f(t))) / total, 2)
})
