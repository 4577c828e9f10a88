import { availableParallelism } from 'node:os'
import { grad } from '../core/grad.ts'
import { input, type Tensor } from '../core/tensor.ts'
import { LANES } from '../core/wasm/loop.ts'
import type { Params } from '../nn/params.ts'
import { free } from '../runtime/free.ts'
import { Loop } from '../runtime/loop.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { compile, type Program } from '../runtime/program.ts'
import { State } from '../runtime/state.ts'
import { WorkerProgram } from '../runtime/worker-program.ts'
import { type Rule, ruleOf, type Scalars } from './optimizer.ts'
import { batchesOf, EMA, feedsOf, moved, reported, scalarInputs, slotName } from './slots.ts'
import type { Feeds, Mover, Objective, StepOptions } from './step.ts'

/**
 * Moves parameters on the host. Programs side by side, one a process, compute the gradients of a batch each; a loop then
 * moves every parameter, its memory and its average where they lie, or a program those that the optimizer takes whole. In one
 * program for all every new value would lie in memory beside every old one, and the engine copies outputs into fresh memory.
 */
export async function hostMover(
  { params, loss, metrics }: Objective,
  given: ReadonlyMap<string, NdArray>,
  options: StepOptions,
): Promise<Mover> {
  const { optimizer, ema } = options
  const values = new Map<string, NdArray>()
  const slotsOf = new Map<string, readonly string[]>()
  for (const [key, { shape, size }] of params.tensors) {
    const slots = ['', ...ruleOf(optimizer, key, shape).slots, ...(ema ? [EMA] : [])]
    slotsOf.set(key, slots)
    for (const slot of slots) {
      const name = valueName(key, slot)
      const start = given.get(name) ?? (slot === EMA ? given.get(key) : undefined)
      values.set(name, new NdArray(start ? (start.data as Float32Array).slice() : new Float32Array(size), shape, 'f32'))
    }
  }
  const keys = [...params.tensors.keys()]
  const state = await State.from(keys.map((key) => [key, values.get(key) as NdArray] as const))
  const programs = await gradientPrograms({ params, loss, metrics }, options, state)
  const loop = movingLoop(options)
  const whole = new Map([...params.tensors].filter(([key, { shape }]) => ruleOf(optimizer, key, shape) !== optimizer))
  const mover = whole.size > 0 ? await movingProgram(whole, options) : undefined

  return {
    async run(batches, scalars) {
      const { results, sums } = await summed(programs, batches, keys)
      const gradNorm = length(sums) / batches.length
      const numbers = { ...scalars, gradNorm }
      const gradients = new Map(keys.map((key, i) => [gradientName(key), sums[i] as NdArray]))
      if (mover) await runInPlace(mover, values, gradients, numbers)
      for (const key of keys) {
        const gradient = gradients.get(gradientName(key)) as NdArray
        if (!whole.has(key)) {
          const slots = slotsOf.get(key) as readonly string[]
          const arrays = Object.fromEntries(
            slots.map((slot) => [slot || PARAMETER, values.get(valueName(key, slot))?.data as Float32Array]),
          )
          loop.run({ ...arrays, [GRADIENT]: gradient.data as Float32Array }, numbers, arrays)
        }
        free(gradient)
      }
      return [...results.slice(0, -1), { ...results.at(-1), gradNorm: new NdArray(Float32Array.of(gradNorm), [], 'f32') }]
    },
    async read(wanted = [...values.keys()]) {
      return new Map(wanted.map((name) => [name, values.get(name) as NdArray]))
    },
    async release() {
      for (const program of [...programs, ...(mover ? [mover] : [])]) await program.release()
    },
  }
}

const PARAMETER = 'parameter'
const GRADIENT = 'gradient:'
const gradientName = (key: string) => GRADIENT + key
/** Of a parameter itself, and of what is kept beside it. */
const valueName = (key: string, slot: string) => (slot ? slotName(key, slot) : key)
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

/** A parameter and its slots, moved, from these and GRADIENT, the sum over the batches. */
function movingLoop(options: StepOptions): Loop {
  const array = (name: string) => input(name, [LANES])
  const next = movedBySum(options)(array(PARAMETER), array(GRADIENT), array, options.optimizer)
  return new Loop(Object.fromEntries([...next].map(([slot, x]) => [slot || PARAMETER, x])))
}

/**
 * The same for all parameters that the optimizer takes whole, under their values' names: in one program, as the threads of several
 * would get in each other's way.
 */
function movingProgram(tensors: Params['tensors'], options: StepOptions): Promise<Program> {
  const { optimizer, threads = 0 } = options
  const move = movedBySum(options)
  const outputs = [...tensors].flatMap(([key, { shape }]) => {
    const array = (slot: string) => input(valueName(key, slot), shape)
    const next = move(array(''), input(gradientName(key), shape), array, ruleOf(optimizer, key, shape))
    return [...next].map(([slot, x]) => [nextName(valueName(key, slot)), x] as const)
  })
  return compile({ outputs: Object.fromEntries(outputs) }, { threads })
}

/** `moved` by a gradient's sum over the batches. */
function movedBySum(options: StepOptions) {
  const [norm, scalars, batches] = [input('gradNorm', []), scalarInputs(options.optimizer), batchesOf(options)]
  return (p: Tensor, sum: Tensor, slot: (name: string) => Tensor, rule: Rule) =>
    moved(p, batches === 1 ? sum : sum.div(batches), slot, norm, scalars, rule, options)
}

/** Runs a moving program, and puts what it gives where the values lie. */
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
