import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { saving, writeAll, writeAtomic } from '../checkpoints/atomic.ts'
import { writeJson } from '../checkpoints/json.ts'
import { environment } from '../runtime/environment.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import { latestCheckpoint } from './checkpoint.ts'
import { noteStretch, recipeFile } from './history.ts'
import { csvLog, type ProgressStream, progress, tensorBoardLog } from './logs/index.ts'
import { picturesPerStep, type TrainingConfig, trainingOptions } from './options.ts'
import { type TrainingTask, train } from './train.ts'

export const environmentFile = 'environment.json'

/** Everything a run needs besides its flags. */
export interface TrainingJob {
  readonly task: TrainingTask
  /** What the job was made from, to keep with the run: the content of a recipe's JSON file. */
  readonly recipe?: Readonly<Record<string, unknown>>
  /** A picture of what the weights can do, as PNG bytes. */
  preview?(weights: ReadonlyMap<string, NdArray>): Promise<Uint8Array>
  /** Numbers of what the weights can do on data held out, by the names given: for `validation.csv`. */
  readonly validation?: {
    readonly names: readonly string[]
    measure(weights: ReadonlyMap<string, NdArray>): Promise<Readonly<Record<string, number>>>
  }
  /** Writes the finished model into a folder. */
  save(weights: ReadonlyMap<string, NdArray>, dir: string): Promise<void> | void
}

export interface RunIo {
  readonly dir: string
  readonly stream?: ProgressStream
  readonly signal?: AbortSignal
  readonly warn?: (message: string) => void
}

/**
 * Trains with all that a person watches: a progress bar, `log.csv`, TensorBoard events, grids of samples in
 * `samples/`, `validation.csv`, checkpoints, and at the end the model in `model/`; `recipe.json`, `history.json` and `environment.json`
 * say what was run, from which step on, and on what. Returns the last step; a run that was broken off resumes where it stopped.
 */
export async function runTraining(job: TrainingJob, config: TrainingConfig, io: RunIo): Promise<number> {
  const { dir, signal, warn = console.warn } = io
  const { max_train_steps: total } = config
  saving(dir, () => mkdirSync(job.preview ? join(dir, 'samples') : dir, { recursive: true }))
  writeJson(join(dir, environmentFile), { ...environment() })
  const options = { ...trainingOptions(config, dir), warn, ...(signal ? { signal } : {}) }
  const resumeStep = options.resume ? (latestCheckpoint(dir, () => {})?.step ?? 0) : 0
  if (job.recipe) noteStretch(dir, { from: resumeStep, recipe: job.recipe })
  const stages = [job.task, ...(job.task.later ?? [])]
  const metrics = [...new Set(stages.flatMap((stage) => Object.keys(stage.metrics ?? {})))]
  const columns = ['loss', 'grad_norm', 'learning_rate', 'seconds', ...metrics]
  const csv = csvLog(join(dir, 'log.csv'), columns, { resumeStep })
  const { validation } = job
  const validated = validation && csvLog(join(dir, 'validation.csv'), validation.names, { resumeStep })
  const board = tensorBoardLog(join(dir, 'logs'), { resumeStep })
  const bar = progress({
    total,
    start: resumeStep,
    unit: 'img',
    perStep: picturesPerStep(config),
    ...(io.stream ? { stream: io.stream } : {}),
  })
  let last = resumeStep
  let smooth: number | undefined
  let before = performance.now()
  const steps = train(job.task, options)
  try {
    for (let next = await steps.next(); ; next = await steps.next()) {
      if (next.done) {
        if (!signal?.aborted) {
          await job.save(next.value, join(dir, 'model'))
          if (job.recipe) writeJson(join(dir, 'model', recipeFile), job.recipe)
        }
        return last
      }
      const { step, loss, gradNorm, learningRate, metrics: values, weights } = next.value
      const now = performance.now()
      csv.write(step, { loss, grad_norm: gradNorm, learning_rate: learningRate, seconds: (now - before) / 1000, ...values })
      before = now
      smooth = smooth === undefined ? loss : smooth + 0.02 * (loss - smooth)
      bar.update(step, { loss: smooth })
      if (step % 10 === 0) {
        const scalars = { loss, grad_norm: gradNorm, learning_rate: learningRate, ...values }
        for (const [name, value] of Object.entries(scalars)) board.scalar(name, value, step)
      }
      const due = step % config.validation_steps === 0 || step === total
      if (validation && due) {
        const found = await validation.measure(await weights())
        validated?.write(step, found)
        for (const [name, value] of Object.entries(found)) board.scalar(`validation/${name}`, value, step)
        before = performance.now()
      }
      if (job.preview && due) {
        const png = await job.preview(await weights())
        writeAtomic(join(dir, 'samples', `step-${step}.png`), (fd) => writeAll(fd, png))
        board.image('samples', png, step)
        before = performance.now()
      }
      last = step
    }
  } finally {
    bar.stop()
    board.close()
  }
}
