import { existsSync } from 'node:fs'
import type { NdArray } from '../runtime/ndarray.ts'
import { checkpointFolder, latestCheckpoint, listCheckpoints, namedCheckpoint, type TrainingCheckpoint } from './checkpoint.ts'
import { TrainingError } from './errors.ts'
import { makeFolder } from './folder.ts'
import { differences, refuseOtherRun, stateDifferences } from './identity.ts'
import { lockFolder } from './lock.ts'
import { adamDefaults, optimizers } from './optimizer.ts'
import { RunningSteps } from './running-steps.ts'
import { type Settings, settingsOf } from './settings.ts'
import { batchesOf } from './state.ts'
import type { StepReport, TrainingOptions, TrainingTask } from './task.ts'

/** What else tells a run from others: fields that its checkpoints keep, and how a checkpoint's run differs from this one. */
export interface RunIdentity {
  readonly fields: Readonly<Record<string, unknown>>
  differences(saved: TrainingCheckpoint): readonly string[]
}

/** A run that is compiled and has its folder to itself, before its first step. */
export interface OpenedRun {
  /** The step that it goes on from; 0 for a new one. */
  readonly from: number
  /** Runs to the end, as `train` does. */
  steps(): AsyncGenerator<StepReport, Map<string, NdArray>>
  /** Frees memory and the folder. */
  close(): Promise<void>
}

/**
 * Locks the folder, reads and checks the checkpoint, compiles. An error leaves the files as they were.
 *
 * @throws TrainingError where another process has the folder, or the checkpoint is another run's
 */
export async function openRun(task: TrainingTask, options: TrainingOptions, identity?: RunIdentity): Promise<OpenedRun> {
  const settings = settingsOf(options)
  const { dir } = settings
  if (typeof settings.resume === 'string' && !existsSync(dir))
    throw new TrainingError(`${dir}: no such folder, to resume ${settings.resume} from`)
  makeFolder(dir)
  const unlock = lockFolder(dir)
  try {
    const saved = savedRun(settings)
    const fields = fieldsOf(task, settings)
    const optimizer = optimizers[settings.optimizer](settings.adam)
    if (saved) {
      const own = Object.fromEntries(Object.entries(saved.run).filter(([name]) => name in fields))
      refuseOtherRun(checkpointFolder(dir, saved.step), [
        ...differences(own, fields),
        ...(identity?.differences(saved) ?? []),
        ...stateDifferences(saved, task.params, optimizer, settings.ema > 0),
      ])
    }
    const run = { ...fields, ...identity?.fields }
    const running = await RunningSteps.open(task, settings, {
      optimizer,
      saved,
      run,
      generation: nextGeneration(settings, saved),
    })
    return {
      from: saved?.step ?? 0,
      steps: () => running.steps(),
      async close() {
        await running.release()
        unlock()
      },
    }
  } catch (error) {
    unlock()
    throw error
  }
}

function savedRun({ dir, resume, warn = console.warn }: Settings): TrainingCheckpoint | undefined {
  if (typeof resume === 'string') return namedCheckpoint(dir, resume)
  return resume ? latestCheckpoint(dir, warn) : undefined
}

/** What decides the numbers. What may change from one start to the next is not here: how long, at which rates, on which device. */
const fieldsOf = (task: TrainingTask, settings: Settings): Readonly<Record<string, unknown>> => ({
  seed: settings.seed,
  accumulation: batchesOf(settings),
  ema: settings.ema,
  parameters: task.params.count,
  optimizer: { name: settings.optimizer, ...adamDefaults, ...settings.adam },
  maxGradNorm: settings.maxGradNorm,
  data: task.data,
})

/**
 * The run's number in its folder. One that goes on from the newest checkpoint keeps it; one that begins anew or from an earlier checkpoint is
 * another, so that checkpoints of later steps that are there already are not taken for its own.
 */
function nextGeneration({ dir, resume, warn = console.warn }: Settings, saved: TrainingCheckpoint | undefined): number {
  const there = listCheckpoints(dir).filter(({ generation }) => Number.isFinite(generation))
  const [newest] = there
  const named = typeof resume === 'string' && saved && (saved.generation !== newest?.generation || saved.step !== newest?.step)
  if (saved && !named) return saved.generation ?? 0
  if (newest)
    warn(
      `${dir}: checkpoints of an earlier run (${there.map(({ step }) => step).join(', ')}) stay; delete them when they are no longer needed`,
    )
  return (newest?.generation ?? 0) + 1
}
