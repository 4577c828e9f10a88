import { ArgumentError, DTypeError, ShapeError } from '../core/errors.ts'
import { sameShape, showShape } from '../core/shape.ts'
import type { Tensor } from '../core/tensor.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { hostStep } from './host-step.ts'
import type { Feeds, Objective, StepOptions, StepPrograms } from './objective.ts'
import type { Scalars } from './optimizer.ts'
import { residentStep } from './resident-step.ts'
import { batchesOf, EMA, stateName } from './state.ts'

export type { Feeds, Objective, StepOptions } from './objective.ts'

export interface StepResult {
  readonly loss: number
  /** Length of the gradient, before clipping. */
  readonly gradNorm: number
  readonly metrics: Readonly<Record<string, number>>
}

/** One optimizer step, compiled: it updates each parameter `key`, the optimizer's state `key@…`, and the average `key@ema`. */
export class TrainingStep {
  private readonly programs: StepPrograms
  private readonly options: StepOptions
  private readonly metricNames: readonly string[]
  private readonly keys: readonly string[]

  private constructor(programs: StepPrograms, options: StepOptions, { params, metrics = {} }: Objective) {
    this.programs = programs
    this.options = options
    this.metricNames = Object.keys(metrics)
    this.keys = [...params.tensors.keys()]
  }

  /** Compiles the step. `values` are those of a step before, or fresh values of the parameters alone; on the host they are copied. */
  static async compile(objective: Objective, values: ReadonlyMap<string, NdArray>, options: StepOptions): Promise<TrainingStep> {
    for (const [key, parameter] of objective.params.tensors) checkStart(key, parameter, values.get(key))
    const { device = 'cpu' } = options
    const programs = await (device === 'cpu' ? hostStep : residentStep)(objective, values, options)
    return new TrainingStep(programs, options, objective)
  }

  /** Updates the parameters once. `batches` are the inputs' values, one record for each of the step's batches. */
  async run(batches: readonly Feeds[], scalars: Scalars, emaDecay = 0): Promise<StepResult> {
    const { optimizer, ema } = this.options
    const count = batchesOf(this.options)
    if (batches.length !== count) throw new ArgumentError(`a step takes ${count} batches, got ${batches.length}`)
    const named = Object.fromEntries(optimizer.scalarNames.map((name) => [`scalar:${name}`, scalars[name] as number]))
    const results = await this.programs.run(batches, ema ? { ...named, [`scalar:${EMA}`]: emaDecay } : named)
    const mean = (name: string) => results.reduce((sum, r) => sum + Number(r[name]?.data[0]), 0) / results.length
    return {
      loss: mean('loss'),
      gradNorm: Number(results.at(-1)?.gradNorm?.data[0]),
      metrics: Object.fromEntries(this.metricNames.map((name) => [name, mean(`metric:${name}`)])),
    }
  }

  /** Whether the values are those of a whole step, after an error too. */
  get intact(): boolean {
    return this.programs.intact()
  }

  /** Everything that a later step must start from, by name. Valid until the next run. */
  values(): Promise<Map<string, NdArray>> {
    return this.programs.read()
  }

  /** Copies of the parameters as they are, or of their moving average. */
  async weights({ ema = this.options.ema ?? false } = {}): Promise<Map<string, NdArray>> {
    const names = this.keys.map((key) => (ema ? stateName(key, EMA) : key))
    const values = await this.programs.read(names)
    return new Map(this.keys.map((key, i) => [key, copy(values.get(names[i] as string) as NdArray)]))
  }

  release(): Promise<void> {
    return this.programs.release()
  }
}

/** A parameter's first value has its shape and dtype. */
function checkStart(key: string, { shape, dtype }: Tensor, value: NdArray | undefined): void {
  if (!value) throw new ArgumentError(`no value for the parameter ${key}; initialise all of them`)
  if (!sameShape(value.shape, shape)) throw new ShapeError(`${key}: expected ${showShape(shape)}, got ${showShape(value.shape)}`)
  if (value.dtype !== dtype) throw new DTypeError(`${key}: expected ${dtype}, got ${value.dtype}; cast it to ${dtype} first`)
}

const copy = ({ data, shape, dtype }: NdArray) => new NdArray(data.slice(), shape, dtype)
