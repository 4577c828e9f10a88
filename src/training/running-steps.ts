import { inWords } from '../core/system-error.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import { Generator } from '../runtime/random.ts'
import { checkpointFolder, saveCheckpoint, type TrainingCheckpoint } from './checkpoint.ts'
import { TrainingError } from './errors.ts'
import type { Objective } from './objective.ts'
import type { Optimizer } from './optimizer.ts'
import { emaDecay, learningRate } from './rate.ts'
import type { Settings } from './settings.ts'
import { batchesOf } from './state.ts'
import { TrainingStep } from './step.ts'
import type { StepReport, TrainingTask } from './task.ts'

interface Start {
  readonly optimizer: Optimizer
  /** Where the run goes on. */
  readonly saved: TrainingCheckpoint | undefined
  /** What its checkpoints keep of the run. */
  readonly run: Readonly<Record<string, unknown>>
  readonly generation: number
}

type Stage = Omit<Objective, 'params'>

/** The steps of a run, from a checkpoint or fresh parameters on. */
export class RunningSteps {
  private readonly task: TrainingTask
  private readonly settings: Settings
  private readonly start: Omit<Start, 'saved'>
  private readonly root: Generator
  private stage: Stage
  private trainer: TrainingStep
  /** Steps that have run, and how many of them the newest checkpoint has. */
  private done: number
  private savedAt: number

  private constructor(task: TrainingTask, settings: Settings, { saved, ...start }: Start, stage: Stage, trainer: TrainingStep) {
    this.task = task
    this.settings = settings
    this.start = start
    this.root = new Generator(settings.seed)
    this.stage = stage
    this.trainer = trainer
    this.done = saved?.step ?? 0
    this.savedAt = this.done
  }

  static async open(task: TrainingTask, settings: Settings, start: Start): Promise<RunningSteps> {
    const { saved, optimizer } = start
    const fresh = () =>
      new Map([...task.params.initialise(new Generator(settings.seed).fork('parameters')), ...(task.start ?? [])])
    const stage = stageAt(task, (saved?.step ?? 0) + 1)
    const trainer = await compile(task, stage, saved?.values ?? fresh(), settings, optimizer)
    return new RunningSteps(task, settings, start, stage, trainer)
  }

  async *steps(): AsyncGenerator<StepReport, Map<string, NdArray>> {
    const { dir, steps, signal, checkpointEvery } = this.settings
    let failure: unknown
    try {
      while (this.done < steps && !signal?.aborted) {
        const report = await this.next()
        const due = report.step % checkpointEvery === 0 || report.step === steps
        yield { ...report, ...(due && { checkpoint: checkpointFolder(dir, report.step) }) }
        if (due) await this.save()
      }
      return await this.trainer.weights()
    } catch (error) {
      failure = error
      throw error
    } finally {
      await this.saveLast(failure)
    }
  }

  release(): Promise<void> {
    return this.trainer.release()
  }

  /** One step. It counts once all of it has run: an error before leaves the number and the values of the step before. */
  private async next(): Promise<StepReport> {
    const { task, settings, root } = this
    const step = this.done + 1
    await this.enterStage(step)
    const batches = []
    for (let i = 0; i < batchesOf(settings); i++) batches.push(await task.batch(root.fork(`batch ${step} ${i}`), step))
    const rate = learningRate(step, { ...settings, schedule: settings.rateSchedule })
    const { optimizer } = this.start
    const { loss, gradNorm, metrics } = await this.trainer.run(
      batches,
      optimizer.scalars(step, rate),
      emaDecay(step, settings.ema),
    )
    if (!Number.isFinite(loss) || !Number.isFinite(gradNorm)) {
      // The parameters have moved to where no step can follow.
      this.done = this.savedAt
      throw new TrainingError(notFinite(step, loss, gradNorm, this.savedAt, settings.dir))
    }
    this.done = step
    return { step, loss, gradNorm, learningRate: rate, metrics, weights: () => this.trainer.weights() }
  }

  private async enterStage(step: number): Promise<void> {
    const stage = stageAt(this.task, step)
    if (stage === this.stage) return
    const before = this.trainer
    this.trainer = await compile(this.task, stage, await before.values(), this.settings, this.start.optimizer)
    this.stage = stage
    await before.release()
  }

  private async save(): Promise<void> {
    const { dir, keepCheckpoints } = this.settings
    const { run, generation } = this.start
    saveCheckpoint(dir, { step: this.done, values: await this.trainer.values(), run, generation }, keepCheckpoints)
    this.savedAt = this.done
  }

  /** Saves what a broken-off run has reached, unless an error came in the middle of an update. The first error is the one that is told. */
  private async saveLast(failure: unknown): Promise<void> {
    if (this.done === this.savedAt || !this.trainer.intact) return
    try {
      await this.save()
    } catch (error) {
      if (failure === undefined) throw error
      const { warn = console.warn } = this.settings
      warn(`step ${this.done} could not be saved: ${inWords(error)}`)
    }
  }
}

const stageAt = (task: TrainingTask, step: number): Stage => task.later?.findLast(({ from }) => from <= step) ?? task

const compile = (
  { params }: TrainingTask,
  stage: Stage,
  values: ReadonlyMap<string, NdArray>,
  { maxGradNorm, accumulation, processes, ema, device, threads }: Settings,
  optimizer: Optimizer,
) =>
  TrainingStep.compile({ ...stage, params }, values, {
    ...{ optimizer, maxGradNorm, accumulation, processes, device, threads },
    ema: ema > 0,
  })

function notFinite(step: number, loss: number, gradNorm: number, savedAt: number, dir: string): string {
  const kept =
    savedAt > 0 ? `The last good checkpoint, ${checkpointFolder(dir, savedAt)}, is kept` : 'There is no checkpoint before it'
  return `step ${step}: loss ${loss}, gradient norm ${gradNorm}. ${kept}; resume with a lower learning rate`
}
