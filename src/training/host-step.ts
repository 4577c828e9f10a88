import { grad } from '../core/grad.ts'
import { sizeOf } from '../core/shape.ts'
import { input, type Tensor } from '../core/tensor.ts'
import { LANES } from '../core/wasm/loop.ts'
import type { Params } from '../nn/params.ts'
import { free } from '../runtime/free.ts'
import { Loop } from '../runtime/loop.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { WorkerProgram } from '../runtime/node/worker-program.ts'
import { compile, type Program } from '../runtime/program.ts'
import { State } from '../runtime/state.ts'
import { availableParallelism } from '../runtime/system.ts'
import type { Feeds, Objective, StepOptions, StepPrograms } from './objective.ts'
import { type Rule, ruleOf, type Scalars } from './optimizer.ts'
import { batchesOf, EMA, feedsOf, reported, scalarInputs, stateName, stateShapes, updated } from './state.ts'

/**
 * Steps on the host. Programs side by side, one a process, compute the gradients of a batch each; a loop then updates every parameter, its
 * optimizer state and its average where they lie, or a program those that the optimizer updates as matrices. In one program for all every new
 * value would lie in memory beside every old one, and ONNX Runtime copies outputs into fresh memory.
 */
export async function hostStep(
  { params, loss, metrics }: Objective,
  given: ReadonlyMap<string, NdArray>,
  options: StepOptions,
): Promise<StepPrograms> {
  const { optimizer, ema = false } = options
  const values = new Map<string, NdArray>()
  for (const [name, shape] of stateShapes(params, optimizer, ema)) {
    const start = given.get(name) ?? (name.endsWith(`@${EMA}`) ? given.get(name.slice(0, -EMA.length - 1)) : undefined)
    const data = start ? (start.data as Float32Array).slice() : new Float32Array(sizeOf(shape))
    values.set(name, new NdArray(data, shape, 'f32'))
  }
  const keys = [...params.tensors.keys()]
  const state = await State.from(keys.map((key) => [key, values.get(key) as NdArray] as const))
  const programs = await gradientPrograms({ params, loss, metrics }, options, state)
  const loop = updateLoop(options)
  const matrices = new Map([...params.tensors].filter(([key, { shape }]) => ruleOf(optimizer, key, shape) !== optimizer))
  const matrixProgram = matrices.size > 0 ? await matrixUpdate(matrices, options) : undefined
  let intact = true

  return {
    intact: () => intact,
    async run(batches, scalars) {
      const { results, sums } = await summed(programs, batches, keys)
      const gradNorm = length(sums) / batches.length
      const numbers = { ...scalars, gradNorm }
      const gradients = new Map(keys.map((key, i) => [gradientName(key), sums[i] as NdArray]))
      intact = false
      if (matrixProgram) await runInPlace(matrixProgram, values, gradients, numbers)
      for (const key of keys) {
        const gradient = gradients.get(gradientName(key)) as NdArray
        if (!matrices.has(key)) {
          const parts = ['', ...optimizer.state, ...(ema ? [EMA] : [])]
          const arrays = Object.fromEntries(
            parts.map((part) => [part || PARAMETER, values.get(stateName(key, part))?.data as Float32Array]),
          )
          loop.run({ ...arrays, [GRADIENT]: gradient.data as Float32Array }, numbers, arrays)
        }
        free(gradient)
      }
      intact = true
      return [...results.slice(0, -1), { ...results.at(-1), gradNorm: new NdArray(Float32Array.of(gradNorm), [], 'f32') }]
    },
    async read(wanted = [...values.keys()]) {
      return new Map(wanted.map((name) => [name, values.get(name) as NdArray]))
    },
    async release() {
      for (const program of [...programs, ...(matrixProgram ? [matrixProgram] : [])]) await program.release()
    },
  }
}

const PARAMETER = 'parameter'
const GRADIENT = 'gradient:'
const gradientName = (key: string) => GRADIENT + key
/** An engine's output has another name than its inputs. */
const nextName = (name: string) => `next:${name}`

type GradientProgram = Pick<Program, 'run' | 'release'>

/**
 * The loss and the metrics of a batch, and the gradients: as many programs as there are processes. The last runs in this
 * thread, which it blocks: the others must be set to work before.
 */
async function gradientPrograms(
  { params, loss, metrics }: Objective,
  options: StepOptions,
  state: State,
): Promise<GradientProgram[]> {
  const { processes = 1, threads = 0 } = options
  const gradients = grad(loss, [...params.tensors.values()])
  const byKey = Object.fromEntries([...params.tensors.keys()].map((key, i) => [gradientName(key), gradients[i] as Tensor]))
  const computation = { outputs: { ...reported(loss, metrics), ...byKey }, state }
  if (processes === 1) return [await compile(computation, { threads })]
  const share = { threads: Math.max(1, Math.floor((threads || availableParallelism()) / processes)) }
  const workers = Array.from({ length: processes - 1 }, () => WorkerProgram.compile(computation, share))
  return [...(await all(workers)), await compile(computation, share)]
}

/** Sums of the gradients over all batches, as many at a time as there are programs, and what else each batch gives. */
async function summed(programs: readonly GradientProgram[], batches: readonly Feeds[], keys: readonly string[]) {
  const results: Record<string, NdArray>[] = []
  let sums: NdArray[] = []
  for (let at = 0; at < batches.length; at += programs.length) {
    const beside = batches.slice(at, at + programs.length)
    for (const outputs of await all(beside.map((batch, i) => (programs[i] as GradientProgram).run(batch)))) {
      const gradients = keys.map((key) => outputs[gradientName(key)] as NdArray)
      if (sums.length === 0) sums = gradients
      else for (const [i, sum] of sums.entries()) addTo(sum, gradients[i] as NdArray)
      results.push(Object.fromEntries(Object.entries(outputs).filter(([name]) => !name.startsWith(GRADIENT))))
    }
  }
  return { results, sums }
}

/** As Promise.all, but a failure waits for the others to end. */
async function all<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises)
  return Promise.all(promises)
}

/** Adds an array to a sum, and frees it. */
function addTo(sum: NdArray, array: NdArray): void {
  const [into, from] = [sum.data as Float32Array, array.data as Float32Array]
  for (let i = 0; i < into.length; i++) into[i] = (into[i] as number) + (from[i] as number)
  free(array)
}

/** √Σx² over all arrays. */
function length(arrays: readonly NdArray[]): number {
  let total = 0
  for (const { data } of arrays) total += squares(data as Float32Array)
  return Math.sqrt(total)
}

/** Σx², in four sums that do not wait for one another. */
function squares(x: Float32Array): number {
  let [a, b, c, d] = [0, 0, 0, 0]
  const whole = x.length - (x.length % 4)
  for (let i = 0; i < whole; i += 4) {
    a += (x[i] as number) ** 2
    b += (x[i + 1] as number) ** 2
    c += (x[i + 2] as number) ** 2
    d += (x[i + 3] as number) ** 2
  }
  for (let i = whole; i < x.length; i++) a += (x[i] as number) ** 2
  return a + b + c + d
}

/** A parameter and its state after a step, from these and GRADIENT, the sum over the batches. */
function updateLoop(options: StepOptions): Loop {
  const array = (name: string) => input(name, [LANES])
  const next = updatedBySum(options)(array(PARAMETER), array(GRADIENT), array, options.optimizer)
  return new Loop(Object.fromEntries([...next].map(([part, x]) => [part || PARAMETER, x])))
}

/**
 * The same for all parameters that the optimizer updates as matrices, under their values' names: in one program, as the threads of several
 * would get in each other's way.
 */
function matrixUpdate(tensors: Params['tensors'], options: StepOptions): Promise<Program> {
  const { optimizer, threads = 0 } = options
  const update = updatedBySum(options)
  const outputs = [...tensors].flatMap(([key, { shape }]) => {
    const array = (part: string) => input(stateName(key, part), shape)
    const next = update(array(''), input(gradientName(key), shape), array, ruleOf(optimizer, key, shape))
    return [...next].map(([part, x]) => [nextName(stateName(key, part)), x] as const)
  })
  return compile({ outputs: Object.fromEntries(outputs) }, { threads })
}

/** `updated` by a gradient's sum over the batches. */
function updatedBySum(options: StepOptions) {
  const [norm, scalars, batches] = [input('gradNorm', []), scalarInputs(options.optimizer), batchesOf(options)]
  return (p: Tensor, sum: Tensor, part: (name: string) => Tensor, rule: Rule) =>
    updated(p, batches === 1 ? sum : sum.div(batches), part, norm, scalars, rule, options)
}

/** Runs `matrixUpdate`, and puts what it gives where the values lie. */
async function runInPlace(
  program: Program,
  values: ReadonlyMap<string, NdArray>,
  gradients: ReadonlyMap<string, NdArray>,
  scalars: Scalars,
): Promise<void> {
  const arrays = program.inputNames.flatMap((name) => {
    const value = values.get(name) ?? gradients.get(name)
    return value ? [[name, value] as const] : []
  })
  const next = await program.run({ ...Object.fromEntries(arrays), ...feedsOf(program, scalars) })
  for (const [name, value] of values) {
    const fresh = next[nextName(name)]
    if (!fresh) continue
    ;(value.data as Float32Array).set(fresh.data as Float32Array)
    free(fresh)
  }
}
