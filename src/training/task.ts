import type { DeviceName } from '../runtime/engine.ts'
import type { NdArray } from '../runtime/ndarray.ts'
import type { Generator } from '../runtime/random.ts'
import type { Objective } from './objective.ts'
import type { AdamWOptions, OptimizerName } from './optimizer.ts'
import type { RateSchedule } from './rate.ts'

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
  /** What tells its data from other data, such as a hash: a run goes on with the same only. */
  readonly data?: string
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
  /** Muon for matrices of hidden layers, or AdamW for all. */
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
  /** Resumes from the latest complete checkpoint, if there is one (true), or from the one of this name (`checkpoint-400`). */
  readonly resume?: boolean | string
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
  /** The folder, where this step is saved: after the report, so that a run killed between the two reports the step again. */
  readonly checkpoint?: string
  /** The weights as they are now, averaged where an average is kept. */
  weights(): Promise<Map<string, NdArray>>
}
