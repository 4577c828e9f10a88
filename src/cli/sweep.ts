import { join } from 'node:path'
import { saving, writeAtomic } from '../checkpoints/atomic.ts'
import { drawChart, savePng } from '../images/index.ts'
import { makeFolder } from '../training/folder.ts'
import { type ProgressStream, progress } from '../training/logs/progress.ts'
import type { OptimizerName } from '../training/optimizer.ts'
import { type TrainingConfig, trainingOptions } from '../training/options.ts'
import { bestOf, sweep, type Trial } from '../training/sweep.ts'
import type { TrainingTask } from '../training/task.ts'
import type { Io } from './command.ts'

export interface SweepFlags {
  readonly steps: number
  readonly rates: readonly number[] | undefined
  readonly optimizers: readonly OptimizerName[]
}

/** Rates tried unless others are given, as multiples of the recipe's. */
const MULTIPLES = [0.25, 0.5, 1, 2, 4]

/** Tries rates and optimizers, prints a table, and writes `sweep.csv` and `sweep.png` into a folder. */
export async function runSweep(
  task: TrainingTask,
  config: TrainingConfig,
  { steps, rates, optimizers }: SweepFlags,
  { io, stream, signal, dir }: { io: Io; stream: ProgressStream; signal: AbortSignal; dir: string },
): Promise<void> {
  saving(dir, () => makeFolder(dir))
  const learningRates = rates ?? MULTIPLES.map((multiple) => Number((multiple * config.learning_rate).toPrecision(6)))
  const running = sweep(task, { ...trainingOptions(config, dir), optimizers, learningRates, steps, signal })
  const bar = progress({ total: optimizers.length * learningRates.length * steps, stream })
  let trials: readonly Trial[] = []
  try {
    for (let next = await running.next(); ; next = await running.next()) {
      if (next.done) {
        trials = next.value
        break
      }
      bar.update(next.value.done, { lr: next.value.learningRate })
    }
  } finally {
    bar.stop()
  }
  signal.throwIfAborted()
  writeAtomic(join(dir, 'sweep.csv'), csvOf(trials))
  await savePng(join(dir, 'sweep.png'), await chartOf(trials))
  io.out.write(`${tableOf(trials)}\nLosses of all steps in ${join(dir, 'sweep.csv')}, drawn in ${join(dir, 'sweep.png')}\n`)
}

const nameOf = ({ optimizer, learningRate }: Trial) => `${optimizer} ${learningRate}`

function csvOf(trials: readonly Trial[]): string {
  const steps = Math.max(...trials.map(({ losses }) => losses.length))
  const rows = Array.from({ length: steps }, (_, i) => [i + 1, ...trials.map(({ losses }) => losses[i] ?? '')].join(','))
  return [['step', ...trials.map(nameOf)].join(','), ...rows, ''].join('\n')
}

/** Loss at the end of each run, the best of all marked. */
function tableOf(trials: readonly Trial[]): string {
  const best = bestOf(trials)
  const rows = trials.map((trial) => [
    trial.optimizer,
    String(trial.learningRate),
    Number.isFinite(trial.final) ? trial.final.toPrecision(4) : `diverged at step ${trial.losses.length}`,
    `${trial.secondsPerStep.toPrecision(3)} s`,
    trial === best ? 'best' : '',
  ])
  const all = [['optimizer', 'learning rate', 'loss at the end', 'per step', ''], ...rows]
  const widths = all[0]?.map((_, i) => Math.max(...all.map((row) => (row[i] as string).length))) as number[]
  return all
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] as number))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function chartOf(trials: readonly Trial[]) {
  const steps = Math.max(...trials.map(({ losses }) => losses.length))
  const series = trials.map((trial) => ({
    name: nameOf(trial),
    average: Math.max(1, Math.floor(steps / 20)),
    points: trial.losses.flatMap((loss, i) => (Number.isFinite(loss) && loss > 0 ? [[i + 1, loss] as const] : [])),
  }))
  return drawChart({
    title: 'Learning rates and optimizers on the same batches',
    x: { name: 'step' },
    y: { name: 'loss', scale: 'log' },
    series: series.filter(({ points }) => points.length > 0),
  })
}
