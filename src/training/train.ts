import type { DeviceName } from '../runtime/engine.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import { Generator } from '../runtime/random.ts'
import { latestCheckpoint, saveCheckpoint, TrainingError } from './checkpoint.ts'
import { type AdamWOptions, type OptimizerName, optimizers } from './optimizer.ts'
import { emaDecay, learningRate, type RateSchedule } from './rate.ts'
import { batchesOf } from './slots.ts'
import { type Objective, TrainingStep } from './step.ts'

/** What is minimised from a step of the run on. */
export interface LaterStage extends Omit<Objective, 'params'> {
  /** The first step that minimises it. */
  readonly from: number
}

/** An objective and its data. */
export interface TrainingTask extends Objective {
  /** Objectives over the same parameters that take over later in the run, in their order. */
  readonly later?: readonly LaterStage[]
  /** Values of parameters to start from in place of fresh ones: fine-tuning. */
  readonly start?: ReadonlyMap<string, NdArray>
  /**
   * Values of the objective's inputs, those of the stages among them, for one batch. Everything random comes from the generator, which depends on the
   * seed and the step alone: so a resumed run sees the same batches as one that was never stopped. Steps are counted from 1.
   */
  batch(generator: Generator, step: number): Readonly<Record<string, NdArray>> | Promise<Readonly<Record<string, NdArray>>>
}

export interface TrainingOptions {
  /** Where checkpoints are kept. */
  readonly dir: string
  readonly steps: number
  readonly seed?: number
  readonly learningRate?: number
  readonly rateSchedule?: RateSchedule
  readonly warmup?: number
  /** Steps at the end over which a `warmup_stable_decay` rate falls. */
  readonly decay?: number
  /** Muon for whole matrices, or AdamW for all. */
  readonly optimizer?: OptimizerName
  readonly adam?: AdamWOptions
  readonly maxGradNorm?: number
  /** Times that gradients are added up before a step. */
  readonly accumulation?: number
  /** Batches side by side each time, on the CPU: a step takes `accumulation × processes` of them. */
  readonly processes?: number
  /** Decay of the moving average of the weights; 0 keeps none. */
  readonly ema?: number
  readonly checkpointEvery?: number
  readonly keepCheckpoints?: number
  /** Goes on from the latest whole checkpoint, where there is one. */
  readonly resume?: boolean
  readonly device?: DeviceName
  /** Processor cores that the engine uses; 0 for all. */
  readonly threads?: number
  readonly signal?: AbortSignal
  readonly warn?: (message: string) => void
}

/** One step as it is reported. */
export interface StepReport {
  readonly step: number
  readonly loss: number
  readonly gradNorm: number
  readonly learningRate: number
  readonly metrics: Readonly<Record<string, number>>
  /** The folder, where this step was saved. */
  readonly checkpoint?: string
  /** The weights as they are now, averaged where an average is kept. */
  weights(): Promise<Map<string, NdArray>>
}

const defaults = {
  seed: 0,
  learningRate: 1e-4,
  rateSchedule: 'constant',
  warmup: 500,
  optimizer: 'adamw',
  adam: {},
  maxGradNorm: 1,
  accumulation: 1,
  processes: 1,
  ema: 0.9999,
  checkpointEvery: 1000,
  keepCheckpoints: 2,
  resume: false,
  device: 'cpu',
  threads: 0,
} as const satisfies Partial<TrainingOptions>

/**
 * Trains, and yields every step. The caller's `for await` logs, draws previews, or breaks off; a break, an abort and
 * the last step save a checkpoint first. A killed run that resumes gives bit-identical losses on the same machine.
 *
 * @throws TrainingError when the loss or the gradient is no longer finite: it names the step, and nothing is saved.
 */
export async function* train(task: TrainingTask, given: TrainingOptions): AsyncGenerator<StepReport, Map<string, NdArray>> {
  const options = { ...defaults, ...given }
  const { dir, steps, seed, signal, warn = console.warn } = options
  // What decides the numbers: a checkpoint of another run must not be continued by mistake.
  const batchesPerStep = batchesOf(options)
  const run = {
    seed,
    accumulation: batchesPerStep,
    ema: options.ema,
    parameters: task.params.count,
  }
  const saved = options.resume ? latestCheckpoint(dir, warn) : undefined
  if (saved) checkSameRun(dir, saved.step, saved.run, run)

  const root = new Generator(seed)
  const values = saved?.values ?? new Map([...task.params.initialise(root.fork('parameters')), ...(task.start ?? [])])
  const optimizer = optimizers[options.optimizer](options.adam)
  const stageAt = (step: number) => task.later?.findLast(({ from }) => from <= step) ?? task
  const compile = (stage: Omit<Objective, 'params'>, values: ReadonlyMap<string, NdArray>) =>
    TrainingStep.compile({ ...stage, params: task.params }, values, {
      optimizer,
      maxGradNorm: options.maxGradNorm,
      accumulation: options.accumulation,
      processes: options.processes,
      ema: options.ema > 0,
      device: options.device,
      threads: options.threads,
    })
  let stage = stageAt((saved?.step ?? 0) + 1)
  let trainer = await compile(stage, values)
  const save = async (step: number) => saveCheckpoint(dir, { step, values: await trainer.values(), run }, options.keepCheckpoints)

  let step = saved?.step ?? 0
  let savedAt = step
  let sound = true
  try {
    while (step < steps && !signal?.aborted) {
      step++
      if (stageAt(step) !== stage) {
        stage = stageAt(step)
        const before = trainer
        trainer = await compile(stage, await before.values())
        await before.release()
      }
      const batches = []
      for (let i = 0; i < batchesPerStep; i++) batches.push(await task.batch(root.fork(`batch ${step} ${i}`), step))
      const rate = learningRate(step, { ...options, schedule: options.rateSchedule })
      const { loss, gradNorm, metrics } = await trainer.run(batches, optimizer.scalars(step, rate), emaDecay(step, options.ema))
      sound = Number.isFinite(loss) && Number.isFinite(gradNorm)
      if (!sound) throw new TrainingError(notFinite(step, loss, gradNorm, savedAt, dir))
      const due = step % options.checkpointEvery === 0 || step === steps
      const checkpoint = due ? await save(step) : undefined
      if (due) savedAt = step
      yield {
        step,
        loss,
        gradNorm,
        learningRate: rate,
        metrics,
        ...(checkpoint ? { checkpoint } : {}),
        weights: () => trainer.weights(),
      }
    }
    return await trainer.weights()
  } finally {
    if (sound && step > savedAt) await save(step)
    await trainer.release()
  }
}

function notFinite(step: number, loss: number, gradNorm: number, savedAt: number, dir: string): string {
  const kept =
    savedAt > 0 ? `The last good checkpoint, ${dir}/checkpoint-${savedAt}, is kept` : 'There is no checkpoint before it'
  return `step ${step}: loss ${loss}, gradient norm ${gradNorm}. ${kept}; lower the learning rate or maxGradNorm and resume`
}

function checkSameRun(
  dir: string,
  step: number,
  saved: Readonly<Record<string, unknown>>,
  now: Readonly<Record<string, unknown>>,
): void {
  for (const [name, value] of Object.entries(now)) {
    if (saved[name] !== value) {
      throw new TrainingError(
        `${dir}/checkpoint-${step} has ${name} ${saved[name]}, this run ${value}; give the same or another folder`,
      )
    }
  }
}
