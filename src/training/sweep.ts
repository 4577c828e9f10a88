import { ArgumentError } from '../core/errors.ts'
import { Generator } from '../runtime/random.ts'
import { type OptimizerName, optimizers } from './optimizer.ts'
import { emaDecay, learningRate } from './rate.ts'
import { settingsOf } from './settings.ts'
import { batchesOf } from './state.ts'
import { TrainingStep } from './step.ts'
import type { TrainingOptions, TrainingTask } from './task.ts'

export interface SweepOptions extends Omit<TrainingOptions, 'dir' | 'learningRate' | 'optimizer' | 'rateSchedule'> {
  readonly optimizers: readonly OptimizerName[]
  readonly learningRates: readonly number[]
}

/** One of the short runs. */
export interface Trial {
  readonly optimizer: OptimizerName
  readonly learningRate: number
  /** The loss of each step; a run whose loss is no longer finite ends there. */
  readonly losses: readonly number[]
  /** The mean loss of the last tenth of its steps; infinite where it ended early. */
  readonly final: number
  readonly secondsPerStep: number
}

export interface SweepProgress {
  readonly done: number
  readonly total: number
  readonly optimizer: OptimizerName
  readonly learningRate: number
}

/**
 * Short runs from the same start on the same batches, one for each optimizer and learning rate: a few hundred steps tell which rate learns
 * fastest and which is too high. The rate stays up after its warm-up. Nothing is saved. Yields every step; an abort ends it with the runs so far.
 */
export async function* sweep(task: TrainingTask, options: SweepOptions): AsyncGenerator<SweepProgress, readonly Trial[]> {
  const { optimizers: names, learningRates, steps, signal } = options
  if (names.length === 0 || learningRates.length === 0)
    throw new ArgumentError('sweep: give at least one optimizer and one learning rate')
  const trials: Trial[] = []
  const total = names.length * learningRates.length * steps
  for (const optimizer of names)
    for (const rate of learningRates) {
      const start = performance.now()
      const losses: number[] = []
      for await (const loss of lossesOf(task, options, optimizer, rate)) {
        losses.push(loss)
        yield { done: trials.length * steps + losses.length, total, optimizer, learningRate: rate }
        if (signal?.aborted) return trials
      }
      const secondsPerStep = (performance.now() - start) / 1000 / losses.length
      trials.push({ optimizer, learningRate: rate, losses, final: finalOf(losses, steps), secondsPerStep })
    }
  return trials
}

async function* lossesOf(task: TrainingTask, options: SweepOptions, name: OptimizerName, peak: number): AsyncGenerator<number> {
  const settings = settingsOf({ ...options, dir: '' })
  const { steps, seed, ema, warmup, maxGradNorm, accumulation, processes, device, threads } = settings
  const root = new Generator(seed)
  const values = new Map([...task.params.initialise(root.fork('parameters')), ...(task.start ?? [])])
  const optimizer = optimizers[name](settings.adam)
  const trainer = await TrainingStep.compile(task, values, {
    ...{ optimizer, maxGradNorm, accumulation, processes, device, threads },
    ema: ema > 0,
  })
  try {
    for (let step = 1; step <= steps; step++) {
      const batches = []
      for (let i = 0; i < batchesOf(settings); i++) batches.push(await task.batch(root.fork(`batch ${step} ${i}`), step))
      const rate = learningRate(step, { learningRate: peak, steps, warmup: Math.min(warmup, Math.ceil(steps / 4)) })
      const { loss, gradNorm } = await trainer.run(batches, optimizer.scalars(step, rate), emaDecay(step, ema))
      yield loss
      if (!Number.isFinite(loss) || !Number.isFinite(gradNorm)) return
    }
  } finally {
    await trainer.release()
  }
}

function finalOf(losses: readonly number[], steps: number): number {
  if (losses.length < steps) return Number.POSITIVE_INFINITY
  const last = losses.slice(-Math.max(1, Math.floor(steps / 10)))
  const mean = last.reduce((a, b) => a + b, 0) / last.length
  return Number.isFinite(mean) ? mean : Number.POSITIVE_INFINITY
}

/** The trial with the least loss at its end. */
export const bestOf = (trials: readonly Trial[]): Trial | undefined =>
  [...trials].sort((a, b) => a.final - b.final).find(({ final }) => Number.isFinite(final))
