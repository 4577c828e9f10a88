import type { NdArray } from '../runtime/ndarray.ts'
import { openRun } from './open-run.ts'
import type { StepReport, TrainingOptions, TrainingTask } from './task.ts'

export type { LaterStage, StepReport, TrainingOptions, TrainingTask } from './task.ts'

/**
 * Trains, and yields every step. The caller's `for await` logs, draws previews, or breaks off; a break, an abort, a batch that fails and
 * the last step save a checkpoint. A killed run that resumes gives bit-identical losses on the same machine.
 *
 * @throws TrainingError when the loss or the gradient is no longer finite: it names the step, and nothing is saved; when the checkpoint is
 *   another run's; when another process trains in the folder
 */
export async function* train(task: TrainingTask, given: TrainingOptions): AsyncGenerator<StepReport, Map<string, NdArray>> {
  const run = await openRun(task, given)
  try {
    return yield* run.steps()
  } finally {
    await run.close()
  }
}
