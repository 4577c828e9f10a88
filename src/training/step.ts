import { ArgumentError } from '../core/errors.ts'
import { grad } from '../core/grad.ts'
import { input, parameter, type Tensor } from '../core/tensor.ts'
import type { Params } from '../nn/params.ts'
import type { DeviceName } from '../runtime/engine.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { compile, type Program } from '../runtime/program.ts'
import { State } from '../runtime/state.ts'
import { clipFactor, globalNorm, type Optimizer, type Scalars } from './optimizer.ts'

/** What is minimised: one element, drawn from the parameters and from inputs that `feeds` fill. */
export interface Objective {
  readonly params: Params
  readonly loss: Tensor
  /** Further numbers to report, one element each. */
  readonly metrics?: Readonly<Record<string, Tensor>>
}

export interface StepOptions {
  readonly optimizer: Optimizer
  /** Gradients longer than this are scaled down to it. */
  readonly maxGradNorm?: number
  /** Batches whose gradients are averaged before one step. */
  readonly accumulation?: number
  /** Keeps an exponential moving average of the parameters. */
  readonly ema?: boolean
  readonly device?: DeviceName
}

export interface StepResult {
  readonly loss: number
  /** Length of the gradient, before clipping. */
  readonly gradNorm: number
  readonly metrics: Readonly<Record<string, number>>
}

const slotName = (key: string, slot: string) => `${key}@${slot}`
const EMA = 'ema'
const SUM = 'grad'

/**
 * One training step as compiled programs over a state that holds each parameter `key`, the optimizer's `key@slot`,
 * and `key@ema`. With accumulation, a first program adds gradients up in `key@grad` and a second one steps.
 */
export class TrainingStep {
  readonly state: State
  private readonly first: Program
  private readonly second: Program | undefined
  private readonly options: StepOptions
  private readonly metricNames: readonly string[]
  private readonly keys: readonly string[]

  private constructor(
    state: State,
    programs: [Program, Program?],
    options: StepOptions,
    metricNames: readonly string[],
    keys: readonly string[],
  ) {
    this.state = state
    ;[this.first, this.second] = programs
    this.options = options
    this.metricNames = metricNames
    this.keys = keys
  }

  /** Compiles the step. `values` is a state read before, or fresh values of the parameters alone. */
  static async compile(objective: Objective, values: ReadonlyMap<string, NdArray>, options: StepOptions): Promise<TrainingStep> {
    const { params, loss, metrics = {} } = objective
    const { optimizer, accumulation = 1, device = 'cpu' } = options
    const tensors = [...params.tensors]
    const keys = tensors.map(([key]) => key)
    const state = await State.from(initialState(params, values, options))
    const gradients = grad(
      loss,
      tensors.map(([, p]) => p),
    )
    const outputs = { loss, ...Object.fromEntries(Object.entries(metrics).map(([name, x]) => [`metric:${name}`, x])) }
    const scalars = Object.fromEntries([...optimizer.scalarNames, EMA].map((name) => [name, input(`scalar:${name}`, [])]))
    const metricNames = Object.keys(metrics)

    if (accumulation === 1) {
      const { updates, norm } = applied(tensors, gradients, scalars, options)
      const program = await compile({ outputs: { ...outputs, gradNorm: norm }, state, updates }, { device })
      return new TrainingStep(state, [program], options, metricNames, keys)
    }
    const sums = tensors.map(([key, p]) => parameter(slotName(key, SUM), p.shape))
    const adding = new Map(sums.map((sum, i) => [sum.name as string, sum.add(gradients[i] as Tensor)]))
    const add = await compile({ outputs, state, updates: adding }, { device })
    const { updates, norm } = applied(
      tensors,
      sums.map((sum) => sum.div(accumulation)),
      scalars,
      options,
    )
    const clearing = new Map(sums.map((sum) => [sum.name as string, sum.mul(0)]))
    const step = await compile({ outputs: { gradNorm: norm }, state, updates: new Map([...updates, ...clearing]) }, { device })
    return new TrainingStep(state, [add, step], options, metricNames, keys)
  }

  /** Moves the parameters once. `batches` are the inputs' values, one record for each batch accumulated. */
  async run(batches: readonly Readonly<Record<string, NdArray>>[], scalars: Scalars, emaDecay = 0): Promise<StepResult> {
    const { accumulation = 1, optimizer, ema } = this.options
    if (batches.length !== accumulation) throw new ArgumentError(`a step takes ${accumulation} batches, got ${batches.length}`)
    const named = Object.fromEntries(optimizer.scalarNames.map((name) => [`scalar:${name}`, number(scalars[name] as number)]))
    const hyper = ema ? { ...named, [`scalar:${EMA}`]: number(emaDecay) } : named
    const results: Record<string, NdArray>[] = []
    for (const batch of batches) results.push(await this.first.run(this.second ? batch : { ...batch, ...hyper }))
    const last = this.second ? await this.second.run(hyper) : results[0]
    const mean = (name: string) => results.reduce((sum, r) => sum + Number(r[name]?.data[0]), 0) / results.length
    return {
      loss: mean('loss'),
      gradNorm: Number(last?.gradNorm?.data[0]),
      metrics: Object.fromEntries(this.metricNames.map((name) => [name, mean(`metric:${name}`)])),
    }
  }

  /** The parameters as they are, or their moving average. */
  async weights({ ema = this.options.ema ?? false } = {}): Promise<Map<string, NdArray>> {
    const values = await this.state.read(this.keys.map((key) => (ema ? slotName(key, EMA) : key)))
    return new Map(this.keys.map((key) => [key, values.get(ema ? slotName(key, EMA) : key) as NdArray]))
  }

  async release(): Promise<void> {
    await this.first.release()
    await this.second?.release()
  }
}

const number = (value: number) => new NdArray(Float32Array.of(value), [], 'f32')

/** Every value that the state holds, from those given, else the start: zero memory, averages equal to the parameters. */
function initialState(
  params: Params,
  values: ReadonlyMap<string, NdArray>,
  { optimizer, accumulation = 1, ema }: StepOptions,
): Map<string, NdArray> {
  const state = new Map<string, NdArray>()
  for (const [key, { shape }] of params.tensors) {
    const value = values.get(key)
    if (!value) throw new ArgumentError(`no value for the parameter ${key}; initialise all of them`)
    state.set(key, value)
    const slots = accumulation > 1 ? [...optimizer.slots, SUM] : optimizer.slots
    for (const slot of slots) {
      const name = slotName(key, slot)
      state.set(name, values.get(name) ?? NdArray.zeros(shape, 'f32'))
    }
    if (ema) state.set(slotName(key, EMA), values.get(slotName(key, EMA)) ?? value)
  }
  return state
}

/** The new values of the parameters, the optimizer's memory and the averages. */
function applied(
  tensors: readonly (readonly [string, Tensor])[],
  gradients: readonly Tensor[],
  scalars: Readonly<Record<string, Tensor>>,
  { optimizer, maxGradNorm, ema }: StepOptions,
): { updates: Map<string, Tensor>; norm: Tensor } {
  const norm = globalNorm(gradients)
  const factor = maxGradNorm === undefined ? undefined : clipFactor(norm, maxGradNorm)
  const updates = new Map<string, Tensor>()
  for (const [i, [key, p]] of tensors.entries()) {
    const g = gradients[i] as Tensor
    const slots = Object.fromEntries(optimizer.slots.map((slot) => [slot, parameter(slotName(key, slot), p.shape)]))
    const moved = optimizer.update(p, factor ? g.mul(factor) : g, slots, scalars)
    updates.set(key, moved.p)
    for (const slot of optimizer.slots) updates.set(slotName(key, slot), moved[slot] as Tensor)
    if (ema) {
      const average = parameter(slotName(key, EMA), p.shape)
      updates.set(slotName(key, EMA), moved.p.add(average.sub(moved.p).mul(scalars[EMA] as Tensor)))
    }
  }
  return { updates, norm }
}
