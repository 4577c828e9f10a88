import { spawn } from 'node:child_process'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { input, parameter } from '../core/tensor.ts'
import { linear } from '../nn/layers.ts'
import { Params, uniform } from '../nn/params.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { checkpointSteps } from './checkpoint.ts'
import { circleTask } from './circle.fixture.ts'
import { lockFile } from './lock.ts'
import { type StepReport, type TrainingOptions, type TrainingTask, train } from './train.ts'

const dir = mkdtempSync(join(tmpdir(), 'langevin-open-run-'))
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

describe('a run and its folder', () => {
  it('counts a step when it has run: a batch that fails saves the step before, which resumes bit for bit', async () => {
    const whole = await run(options('unbroken'), 10)
    const folder = options('batch fails')
    const task = circleTask()
    const failing: TrainingTask = {
      ...task,
      batch(generator, step) {
        if (step === 4) throw new Error('the disk is gone')
        return task.batch(generator, step)
      },
    }
    await expect(all(train(failing, folder))).rejects.toThrow('the disk is gone')
    expect(checkpointSteps(folder.dir)).toEqual([3])
    const rest = await run({ ...folder, resume: true }, 10)
    expect(rest.map(({ step, loss }) => [step, loss])).toEqual(whole.slice(3).map(({ step, loss }) => [step, loss]))
  })

  it('a stage that does not compile, and an error of the engine, save the step before', async () => {
    const whole = await run(options('unbroken'), 10)
    const { params, loss, batch } = circleTask()
    // A parameter that has no value.
    const later = [{ from: 4, loss: loss.add(parameter('nowhere', [1]).sum()) }]
    const stage = options('stage fails')
    await expect(all(train({ params, loss, batch, later }, stage))).rejects.toThrow('nowhere')
    const engine = options('engine fails')
    const wrong: TrainingTask = {
      ...circleTask(),
      batch: (generator, step) => (step === 4 ? { x: NdArray.zeros([1]), y: NdArray.zeros([1]) } : batch(generator, step)),
    }
    await expect(all(train(wrong, engine))).rejects.toThrow()
    for (const folder of [stage, engine]) {
      expect(checkpointSteps(folder.dir)).toEqual([3])
      const rest = await run({ ...folder, resume: true }, 5)
      expect(rest.map(({ loss }) => loss)).toEqual(whole.slice(3, 5).map(({ loss }) => loss))
    }
  })

  it.each<[string, Partial<TrainingOptions>, RegExp]>([
    ['optimizer', { optimizer: 'muon' }, /checkpoint-10 has optimizer\.name adamw, this run muon/],
    ['moment', { adam: { beta1: 0.5 } }, /optimizer\.beta1 0\.9, this run 0\.5/],
    ['weight decay', { adam: { weightDecay: 0 } }, /optimizer\.weightDecay 0\.01, this run 0/],
    ['clipping', { maxGradNorm: 2 }, /maxGradNorm 1, this run 2/],
    ['average', { ema: 0 }, /ema 0\.9, this run 0/],
    ['batches', { accumulation: 2 }, /accumulation 1, this run 2/],
  ])('another %s is another run', async (name, other, message) => {
    const folder = options(`identity ${name}`, { steps: 10 })
    await run(folder)
    const before = contents(folder.dir)
    await expect(run({ ...folder, ...other, steps: 20, resume: true })).rejects.toThrow(message)
    expect(contents(folder.dir)).toEqual(before)
    expect((await run({ ...folder, steps: 12, learningRate: 0.001, resume: true })).length, 'rates and length may change').toBe(2)
  })

  it('a checkpoint of an earlier version, without an optimizer, resumes where its tensors are those of this run', async () => {
    const folder = options('older', { steps: 10 })
    await run(folder)
    const file = join(folder.dir, 'checkpoint-10', 'run.json')
    const { step, seed, accumulation, ema, parameters } = JSON.parse(readFileSync(file, 'utf8'))
    writeFileSync(file, JSON.stringify({ step, seed, accumulation, ema, parameters }))
    await expect(all(train(otherTask(), { ...folder, steps: 12, resume: true }))).rejects.toThrow(
      /rest missing, this run \[32\]; first\.bias, which this run has not/,
    )
    expect(await run({ ...folder, steps: 12, resume: true })).toHaveLength(2)
  })

  it('begun anew in an old folder, the new run keeps its checkpoints and is the one that resumes', async () => {
    const folder = options('anew', { steps: 30 })
    await run(folder)
    const warnings: string[] = []
    const anew = { ...folder, checkpointEvery: 4, keepCheckpoints: 1, warn: (message: string) => warnings.push(message) }
    await run(anew, 6)
    expect(warnings.join()).toMatch(/checkpoints of an earlier run \(30, 20\) stay/)
    expect(checkpointSteps(folder.dir)).toEqual([30, 20, 6])
    expect((await run({ ...anew, resume: true }, 9))[0]!.step).toBe(7)
    expect(checkpointSteps(folder.dir)).toEqual([30, 20, 9])
  })

  it('after a damaged newest checkpoint, with a limit of one, the good one stays', async () => {
    const folder = options('damaged, one kept', { checkpointEvery: 10 })
    await run(folder)
    truncateSync(join(folder.dir, 'checkpoint-30', 'training_state.safetensors'), 100)
    const rest = { ...folder, keepCheckpoints: 1, resume: true, warn: () => {} }
    await run(rest, 23)
    expect((await run(rest, 24))[0]!.step).toBe(24)
    expect((await run(rest))[0]!.step).toBe(25)
    expect((await run({ ...rest, steps: 31 }))[0]!.step, 'the damaged one was replaced').toBe(31)
  })

  it('goes on from a checkpoint by name, and from there on that is the run', async () => {
    const folder = options('named', { keepCheckpoints: 5, warn: () => {} })
    const whole = await run(folder)
    const again = await run({ ...folder, resume: 'checkpoint-10' }, 13)
    expect(again.map(({ step, loss }) => [step, loss])).toEqual(whole.slice(10, 13).map(({ step, loss }) => [step, loss]))
    expect((await run({ ...folder, resume: true }, 14))[0]!.step).toBe(14)
    await expect(run({ ...folder, resume: 'checkpoint-11' })).rejects.toThrow(
      /has no checkpoint-11; give one of its checkpoints \(checkpoint-30, checkpoint-20/,
    )
    const nowhere = join(dir, 'nowhere')
    await expect(run({ ...folder, dir: nowhere, resume: 'checkpoint-11' })).rejects.toThrow(/no such folder/)
    expect(existsSync(nowhere)).toBe(false)
  })

  it('saves a step after it is reported: a run killed between the two reports it again', async () => {
    const folder = options('reported first')
    for await (const { step, checkpoint } of train(circleTask(), folder)) {
      if (step === 10) expect([checkpoint, checkpointSteps(folder.dir)]).toEqual([join(folder.dir, 'checkpoint-10'), []])
      if (step === 11) break
    }
    expect(checkpointSteps(folder.dir)).toEqual([11, 10])
  })

  it('two runs in one folder: the second is refused, a dead one leaves nothing that hinders', async () => {
    const folder = options('locked')
    const first = train(circleTask(), folder)
    await first.next()
    await expect(run({ ...folder, resume: true })).rejects.toThrow(
      new RegExp(`process ${process.pid} on .* trains in it since .*delete .*${lockFile}`),
    )
    await first.return(new Map())
    const gone = spawn(process.execPath, ['-e', ''])
    await new Promise((resolve) => gone.once('exit', resolve))
    writeFileSync(join(folder.dir, lockFile), JSON.stringify({ pid: gone.pid, host: hostname(), since: 'then' }))
    expect((await run({ ...folder, resume: true }, 3))[0]!.step).toBe(2)
    expect(existsSync(join(folder.dir, lockFile))).toBe(false)
    // Of another host nothing is known but the lock's age.
    const elsewhere = join(folder.dir, lockFile)
    writeFileSync(elsewhere, JSON.stringify({ pid: 1, host: 'elsewhere', since: 'then' }))
    await expect(run(folder)).rejects.toThrow('process 1 on elsewhere')
    const old = new Date(Date.now() - 3600_000)
    utimesSync(elsewhere, old, old)
    expect((await run({ ...folder, resume: true }, 4))[0]!.step).toBe(4)
  })
})

/** All files below a folder with their bytes. */
function contents(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(folder, name)).isFile())
  return Object.fromEntries(files.sort().map((name) => [name, readFileSync(join(folder, name)).toString('base64')]))
}

async function all(steps: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of steps) {
    // The loop is the work.
  }
}

/** As `circleTask`, with another network of as many parameters. */
function otherTask(): TrainingTask {
  const { batch } = circleTask()
  const params = new Params()
  const [first, second] = [linear(params.at('first'), 2, 32, { bias: false }), linear(params.at('second'), 32, 1)]
  params.get('rest', [32], uniform(1))
  const loss = second(first(input('x', [16, 2])).silu())
    .sub(input('y', [16, 1]))
    .square()
    .mean()
  return { params, loss, batch }
}
