import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { ArgumentError } from '../core/errors.ts'
import { Generator } from '../runtime/random.ts'
import { checkpointSteps } from './checkpoint.ts'
import { circleTask } from './circle.fixture.ts'
import { TrainingError } from './errors.ts'
import { learningRate, type RateSchedule } from './rate.ts'
import { type StepReport, type TrainingOptions, train } from './train.ts'

const reference = JSON.parse(readFileSync(new URL('../../parity/fixtures/learning_rates.json', import.meta.url), 'utf8')).rates

const dir = mkdtempSync(join(tmpdir(), 'langevin-train-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const options = (name: string, more: Partial<TrainingOptions> = {}): TrainingOptions => ({
  dir: join(dir, name),
  steps: 30,
  learningRate: 0.01,
  warmup: 5,
  ema: 0.9,
  checkpointEvery: 10,
  ...more,
})

async function run(given: TrainingOptions, until = Number.POSITIVE_INFINITY): Promise<StepReport[]> {
  const reports: StepReport[] = []
  for await (const report of train(circleTask(), given)) {
    reports.push(report)
    if (report.step >= until) break
  }
  return reports
}

describe('train', () => {
  it('lowers the loss, and the same seed gives the same losses', async () => {
    const [a, b] = [await run(options('a', { steps: 200 })), await run(options('b', { steps: 200 }))]
    expect(a.map(({ loss }) => loss)).toEqual(b.map(({ loss }) => loss))
    expect(a.at(-1)!.loss).toBeLessThan(a[0]!.loss / 10)
    const other = await run(options('c', { steps: 3, seed: 1 }))
    expect(other[0]!.loss).not.toBe(a[0]!.loss)
  })

  it.each([
    [1, 1],
    [2, 1],
    [1, 2],
  ])('goes on from a checkpoint with bit-identical losses, accumulation %i, processes %i', async (accumulation, processes) => {
    const batches = { accumulation, processes }
    const [all, parts] = [`whole ${accumulation} ${processes}`, `parts ${accumulation} ${processes}`]
    const whole = await run(options(all, batches))
    await run(options(parts, batches), 17)
    const rest = await run(options(parts, { ...batches, resume: true }))
    expect(rest[0]!.step).toBe(18)
    expect(rest.map(({ loss, gradNorm }) => [loss, gradNorm])).toEqual(
      whole.slice(17).map(({ loss, gradNorm }) => [loss, gradNorm]),
    )
  })

  it('changes what it minimises at the step that a stage names, and resumes on either side of it bit for bit', async () => {
    const task = () => {
      const circle = circleTask()
      return { ...circle, later: [{ from: 11, loss: circle.loss.mul(2), metrics: { late: circle.loss } }] }
    }
    const losses = async (given: TrainingOptions, until = Number.POSITIVE_INFINITY) => {
      const found = []
      for await (const { step, loss, metrics } of train(task(), given)) {
        found.push([step, loss, metrics.late])
        if (step >= until) break
      }
      return found
    }
    const whole = await losses(options('stages'))
    expect(whole.map(([, , late]) => late !== undefined)).toEqual(whole.map((_, i) => i >= 10))
    expect(whole.slice(0, 10).map(([, loss]) => loss)).toEqual((await run(options('one stage'), 10)).map(({ loss }) => loss))
    for (const stop of [10, 13]) {
      const name = `stages until ${stop}`
      await losses(options(name), stop)
      expect(await losses(options(name, { resume: true }))).toEqual(whole.slice(stop))
    }
  })

  it('is bit-identical after kill -9', async () => {
    const whole = await run(options('unkilled', { steps: 400, checkpointEvery: 50 }))
    const folder = join(dir, 'killed')
    const script = `
      import { train } from './src/training/train.ts'
      import { circleTask } from './src/training/circle.fixture.ts'
      for await (const { step } of train(circleTask(), ${JSON.stringify(options('killed', { steps: 400, checkpointEvery: 50 }))})) {
        if (step === 120) console.log('go')
      }`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    await new Promise((resolve) => child.stdout.once('data', resolve))
    child.kill('SIGKILL')
    await new Promise((resolve) => child.once('exit', resolve))
    const rest = await run({ ...options('killed', { steps: 400, checkpointEvery: 50 }), dir: folder, resume: true })
    expect(rest[0]!.step).toBeGreaterThan(100)
    expect(rest[0]!.step).toBeLessThan(400)
    expect(rest.map(({ loss }) => loss)).toEqual(whole.slice(rest[0]!.step - 1).map(({ loss }) => loss))
  })

  it('averages accumulated gradients: the same batch twice steps as once', async () => {
    const [one, two] = [await weightsAfterOne(options('one'), 1), await weightsAfterOne(options('two'), 2)]
    for (const [key, value] of one) expect(two.get(key)).toBeCloseTo(value, 6)
  })

  it('keeps the average of the weights: after one step, 9/10 of the way', async () => {
    const [average, now] = [
      await weightsAfterOne(options('ema', { ema: 0.5, warmup: 0 })),
      await weightsAfterOne(options('raw', { ema: 0, warmup: 0 })),
    ]
    const start = circleTask().params.initialise(new Generator(0).fork('parameters'))
    for (const [key, value] of now) {
      const before = Number(start.get(key)!.data[0])
      expect(value).not.toBe(before)
      expect(average.get(key)).toBeCloseTo(value + 0.1 * (before - value), 6)
    }
  })

  it('stops at a loss that is not finite, names the step and keeps the last good checkpoint', async () => {
    const folder = join(dir, 'nan')
    const work = async () => {
      for await (const _ of train(circleTask({ breakAt: 25 }), { ...options('nan'), dir: folder })) {
        // The loop is the work.
      }
    }
    await expect(work()).rejects.toThrow(TrainingError)
    await expect(work()).rejects.toThrow(/step \d+: loss NaN.*checkpoint-20/s)
    expect(checkpointSteps(folder)).toEqual([20, 10])
  })

  it('falls back to the checkpoint before a damaged one and says so', async () => {
    const folder = join(dir, 'damaged')
    await run({ ...options('damaged'), dir: folder })
    truncateSync(join(folder, 'checkpoint-30', 'training_state.safetensors'), 100)
    const warnings: string[] = []
    const rest = await run({ ...options('damaged'), dir: folder, resume: true, warn: (message) => warnings.push(message) })
    expect(rest[0]!.step).toBe(21)
    expect(warnings[0]).toMatch(/checkpoint-30 cannot be used/)
  })

  it('refuses to continue another run', async () => {
    const folder = join(dir, 'other')
    await run({ ...options('other'), dir: folder, steps: 10 })
    await expect(run({ ...options('other'), dir: folder, seed: 7, resume: true })).rejects.toThrow(/seed 0, this run 7/)
    expect(JSON.parse(readFileSync(join(folder, 'checkpoint-10', 'run.json'), 'utf8')).step).toBe(10)
  })

  it('rates: a step before the first is an error; rising, then falling as the schedule says', () => {
    expect(() => learningRate(0, { learningRate: 1, steps: 10 })).toThrow(ArgumentError)
    const rates = (schedule: RateSchedule, steps: number[], decay?: number) =>
      steps.map((s) => learningRate(s, { learningRate: 1, warmup: 10, steps: 100, schedule, ...(decay && { decay }) }))
    expect(rates('linear', [1, 5, 10, 55, 100])).toEqual([0.1, 0.5, 1, 46 / 90, 1 / 90])
    expect(rates('constant', [5, 11, 100])).toEqual([0.5, 1, 1])
    const close = (values: number[]) => values.map((value) => expect.closeTo(value, 12))
    // The rates of diffusers 0.42.1's get_linear_schedule_with_warmup, get_cosine_schedule_with_warmup and transformers' get_wsd_schedule
    // (lr_lambda of steps 10, 54, 79, 89, 94, 99, of 10 steps of warm-up, 100 in all, the last 20 of which decay).
    const at = [11, 55, 80, 90, 95, 100]
    expect(rates('linear', at)).toEqual(close(reference.linear))
    expect(rates('cosine', at)).toEqual(close(reference.cosine))
    expect(rates('warmup_stable_decay', at, 20)).toEqual(close(reference.warmup_stable_decay))
    expect(rates('warmup_stable_decay', [90, 91, 100])).toEqual(close([1, 1, 0.5 * (1 - Math.cos(Math.PI / 10))]))
    for (const schedule of ['linear', 'cosine', 'warmup_stable_decay'] as const)
      expect(rates(schedule, [100])[0], 'the last step does something').toBeGreaterThan(0)
  })
})

/** The first element of every parameter after one step on a batch that is always the same. */
async function weightsAfterOne(given: TrainingOptions, accumulation = 1): Promise<Map<string, number>> {
  const task = circleTask()
  const fixed = { ...task, batch: () => task.batch(new Generator(5), 1) }
  for await (const { weights } of train(fixed, { ...given, accumulation })) {
    return new Map([...(await weights())].map(([key, array]) => [key, Number(array.data[0])]))
  }
  throw new Error('no step')
}
