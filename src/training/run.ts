import { join } from 'node:path'
import { saving, writeAll, writeAtomic } from '../checkpoints/atomic.ts'
import { writeJson } from '../checkpoints/json.ts'
import { inWords } from '../core/system-error.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import { environment } from '../runtime/node/environment.ts'
import { makeFolder } from './folder.ts'
import { noteStretch, readHistory, recipeFile } from './history.ts'
import { checkColumns } from './logs/csv.ts'
import { csvLog, type ProgressStream, progress, tensorBoardLog } from './logs/index.ts'
import { type OpenedRun, openRun } from './open-run.ts'
import { picturesPerStep, type TrainingConfig, trainingOptions } from './options.ts'
import { recipeIdentity } from './recipe-identity.ts'
import type { StepReport, TrainingTask } from './task.ts'

export const environmentFile = 'environment.json'

/** Everything a run needs besides its flags. */
export interface TrainingJob {
  readonly task: TrainingTask
  /** What the job was made from, to keep with the run: the content of a recipe's JSON file. */
  readonly recipe?: Readonly<Record<string, unknown>>
  /** Fills in what such a recipe, without its flags, leaves out. */
  complete?(recipe: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>
  /** A picture of what the weights can do, as PNG bytes. */
  preview?(weights: ReadonlyMap<string, NdArray>): Promise<Uint8Array>
  /** Texts that the weights write. */
  write?(weights: ReadonlyMap<string, NdArray>): Promise<string>
  /** What a batch is made of, in the progress bar: `img` unless given. */
  readonly unit?: string
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
  /** Told what is done: where the run goes on. */
  readonly say?: (message: string) => void
}

/**
 * Trains with all that a person watches: a progress bar, `log.csv`, TensorBoard events, grids of samples in
 * `samples/`, `validation.csv`, checkpoints, and at the end the model in `model/`; `recipe.json`, `history.json` and `environment.json`
 * say what was run, from which step on, and on what. Returns the last step; a run that was broken off resumes where it stopped.
 *
 * @throws TrainingError before anything is written, where the folder holds another run or another process trains in it
 */
export async function runTraining(job: TrainingJob, config: TrainingConfig, io: RunIo): Promise<number> {
  const { dir, signal, warn = console.warn } = io
  const options = { ...trainingOptions(config, dir), warn, ...(signal ? { signal } : {}) }
  const identity = job.recipe && recipeIdentity(dir, job.recipe, job.complete)
  const run = await openRun(job.task, options, identity)
  try {
    return await watched(run, job, config, { ...io, warn })
  } finally {
    await run.close()
  }
}

async function watched(
  run: OpenedRun,
  job: TrainingJob,
  config: TrainingConfig,
  { dir, stream, signal, warn, say = () => {} }: RunIo & { warn: (message: string) => void },
): Promise<number> {
  const { from: resumeStep } = run
  const { max_train_steps: total } = config
  const log = openLogs(job, dir, resumeStep)
  if (resumeStep >= total) say(`${dir}: checkpoint-${resumeStep} has all ${total} steps; only the model is written`)
  else if (resumeStep > 0) say(`${dir}: goes on from checkpoint-${resumeStep}, ${total - resumeStep} steps to go`)
  if (job.recipe && resumeStep < total) noteStretch(dir, { from: resumeStep, recipe: job.recipe })
  const bar = progress({
    total,
    start: resumeStep,
    unit: job.unit ?? 'img',
    perStep: picturesPerStep(config),
    ...(stream && { stream }),
  })

  let last = resumeStep
  let smooth: number | undefined
  const steps = run.steps()
  try {
    for (let next = await steps.next(); ; next = await steps.next()) {
      if (next.done) {
        if (!signal?.aborted) await saveModel(job, next.value, dir)
        return last
      }
      const report = next.value
      const { step, loss } = report
      log.step(report)
      smooth = smooth === undefined ? loss : smooth + 0.02 * (loss - smooth)
      bar.update(step, { loss: smooth })
      if (step % config.validation_steps === 0 || step === total) await look(job, report, { dir, log, warn })
      last = step
    }
  } catch (error) {
    // One of ours leaves the run in the middle: it saves what it has reached.
    await steps.return(new Map()).catch((second: Error) => warn(second.message))
    throw error
  } finally {
    bar.stop()
    log.close()
  }
}

/** Writes the model, and the recipe that made it. That is the newest stretch's: where no step has run, these flags made nothing. */
async function saveModel(job: TrainingJob, weights: ReadonlyMap<string, NdArray>, dir: string): Promise<void> {
  await job.save(weights, join(dir, 'model'))
  const recipe = readHistory(dir).at(-1)?.recipe ?? job.recipe
  if (job.recipe && recipe) writeJson(join(dir, 'model', recipeFile), recipe)
}

/**
 * Measures and shows what the weights can do. The run does not depend on it: what fails here is told, and costs no model.
 */
async function look(
  job: TrainingJob,
  { step, weights }: StepReport,
  { dir, log, warn }: { dir: string; log: ReturnType<typeof openLogs>; warn: (message: string) => void },
): Promise<void> {
  const trying = async (what: string, work: () => Promise<void>) => {
    try {
      await work()
    } catch (error) {
      warn(`step ${step}: no ${what}: ${inWords(error)}`)
    }
  }
  const { validation } = job
  if (validation)
    await trying('validation', async () => {
      log.validation(step, await validation.measure(await weights()))
    })
  await trying('grid of samples', async () => {
    const png = await job.preview?.(await weights())
    if (png) writeAtomic(join(dir, 'samples', `step-${step}.png`), (fd) => writeAll(fd, png))
  })
  await trying('sample of texts', async () => {
    const texts = await job.write?.(await weights())
    if (texts !== undefined) writeAtomic(join(dir, 'samples', `step-${step}.txt`), texts)
  })
  log.pause()
}

/** The files that grow with every step. Nothing is written before all of them are known to fit. */
function openLogs(job: TrainingJob, dir: string, resumeStep: number) {
  const stages = [job.task, ...(job.task.later ?? [])]
  const metrics = [...new Set(stages.flatMap((stage) => Object.keys(stage.metrics ?? {})))]
  const columns = ['loss', 'grad_norm', 'learning_rate', 'seconds', ...metrics]
  const [logFile, validationFile] = [join(dir, 'log.csv'), join(dir, 'validation.csv')]
  checkColumns(logFile, columns, { resumeStep })
  if (job.validation) checkColumns(validationFile, job.validation.names, { resumeStep })

  saving(dir, () => makeFolder(job.preview || job.write ? join(dir, 'samples') : dir))
  writeJson(join(dir, environmentFile), { ...environment() })
  const csv = csvLog(logFile, columns, { resumeStep })
  const validated = job.validation && csvLog(validationFile, job.validation.names, { resumeStep })
  const board = tensorBoardLog(join(dir, 'logs'), { resumeStep })
  let before = performance.now()
  const pause = () => {
    before = performance.now()
  }
  return {
    step({ step, loss, gradNorm, learningRate, metrics: values }: StepReport): void {
      const numbers = { loss, grad_norm: gradNorm, learning_rate: learningRate, ...values }
      csv.write(step, { ...numbers, seconds: (performance.now() - before) / 1000 })
      pause()
      if (step % 10 === 0) for (const [name, value] of Object.entries(numbers)) board.scalar(name, value, step)
    },
    validation(step: number, found: Readonly<Record<string, number>>): void {
      validated?.write(step, found)
      for (const [name, value] of Object.entries(found)) board.scalar(`validation/${name}`, value, step)
    },
    /** What follows is not counted as the next step's time. */
    pause,
    close: () => board.close(),
  }
}
