import { expect, test } from 'vitest'
import { circleTask } from './circle.fixture.ts'
import { bestOf, type SweepOptions, sweep, type Trial } from './sweep.ts'

async function trialsOf(options: SweepOptions): Promise<{ trials: readonly Trial[]; done: number[] }> {
  const done: number[] = []
  const steps = sweep(circleTask(), options)
  for (let next = await steps.next(); ; next = await steps.next()) {
    if (next.done) return { trials: next.value, done }
    done.push(next.value.done)
  }
}
const base = { steps: 40, warmup: 2, ema: 0 }

test('runs start alike, see the same batches, and the best rate is neither the least nor the highest', async () => {
  const learningRates = [1e-5, 1e-2, 1e30]
  const { trials, done } = await trialsOf({ ...base, optimizers: ['adamw', 'muon'], learningRates })
  expect(trials.map(({ optimizer, learningRate }) => [optimizer, learningRate])).toEqual(
    (['adamw', 'muon'] as const).flatMap((name) => learningRates.map((rate) => [name, rate])),
  )
  expect(new Set(trials.map(({ losses }) => losses[0])).size).toBe(1)
  expect(bestOf(trials)?.learningRate).toBe(1e-2)
  for (const { learningRate, losses, final } of trials) {
    expect(losses.length === 40 && Number.isFinite(final)).toBe(learningRate < 1)
    if (learningRate < 1) expect(final).toBeCloseTo(losses.slice(-4).reduce((a, b) => a + b) / 4, 12)
  }
  expect(done).toEqual([...done].sort((a, b) => a - b))
})

test('an abort ends it with the runs so far; nothing to try is an error', async () => {
  const controller = new AbortController()
  const steps = sweep(circleTask(), { ...base, optimizers: ['adamw'], learningRates: [1e-3, 1e-2], signal: controller.signal })
  let found: readonly Trial[] | undefined
  for (let next = await steps.next(); ; next = await steps.next()) {
    if (next.done) {
      found = next.value
      break
    }
    if (next.value.done === 50) controller.abort()
  }
  expect(found.map(({ learningRate }) => learningRate)).toEqual([1e-3])
  await expect(trialsOf({ ...base, optimizers: [], learningRates: [1] })).rejects.toThrow('at least one optimizer')
})
