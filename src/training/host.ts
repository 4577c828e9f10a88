import { grad } from '../core/grad.ts'
import { type Shape, sizeOf } from '../core/shape.ts'
import { input, type Tensor } from '../core/tensor.ts'
import { free } from '../runtime/free.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { compile, type Program } from '../runtime/program.ts'
import { State } from '../runtime/state.ts'
import { globalNorm } from './optimizer.ts'
import { EMA, moved, reported, scalarInputs, slotName } from './slots.ts'
import type { Feeds, Mover, Objective, StepOptions } from './step.ts'

/** Elements that the second program moves at a time: what it reads and writes then stays in the processor's cache. */
const CHUNK = 2 ** 18

/** A parameter's place in the flat arrays. */
interface Place {
  readonly start: number
  readonly shape: Shape
}

/**
 * Moves parameters on the host. A first program computes gradients. The parameters, the optimizer's memory and the
 * averages each lie in one flat array, over which a second program moves chunk by chunk. One program for both would have
 * every new value in memory beside every old one, and the engine copies outputs into fresh memory: three times the time.
 */
export async function hostMover(
  { params, loss, metrics }: Objective,
  values: ReadonlyMap<string, NdArray>,
  options: StepOptions,
): Promise<Mover> {
  const { accumulation = 1, optimizer, ema } = options
  const places = new Map<string, Place>()
  let total = 0
  for (const [key, { shape, size }] of params.tensors) {
    places.set(key, { start: total, shape })
    total += size
  }
  const size = Math.min(CHUNK, total)
  const slots = ['', ...optimizer.slots, ...(ema ? [EMA] : [])]
  const flat = new Map(slots.map((slot) => [slot, new Float32Array(Math.ceil(total / size) * size)]))
  const view = (slot: string, key: string) => {
    const { start, shape } = places.get(key) as Place
    return new NdArray((flat.get(slot) as Float32Array).subarray(start, start + sizeOf(shape)), shape, 'f32')
  }
  const names = new Map(
    [...places.keys()].flatMap((key) => slots.map((slot) => [slot ? slotName(key, slot) : key, [slot, key]] as const)),
  )
  for (const [name, [slot, key]] of names) {
    const value = values.get(name) ?? (slot === EMA ? values.get(key) : undefined)
    if (value) view(slot, key).data.set(value.data as Float32Array)
  }

  const parameters = await State.from([...places.keys()].map((key) => [key, view('', key)] as const))
  const gradients = await gradientProgram({ params, loss, metrics }, options, parameters)
  const mover = await chunkProgram(size, options)

  return {
    async run(batches, scalars) {
      const results: Record<string, NdArray>[] = []
      let sums: NdArray[] = []
      for (const batch of batches) {
        const before = accumulation === 1 ? {} : named(places, sums)
        const outputs = await gradients.run({ ...batch, ...before })
        for (const sum of sums) free(sum)
        sums = [...places.keys()].map((key) => outputs[gradientName(key)] as NdArray)
        results.push(Object.fromEntries(Object.entries(outputs).filter(([name]) => !name.startsWith(GRADIENT))))
      }
      const { gradNorm } = results.at(-1) as { gradNorm: NdArray }
      await moveAll(mover, size, flat, joined(sums), { ...scalars, gradNorm })
      return results
    },
    async read(wanted = [...names.keys()]) {
      return new Map(wanted.map((name) => [name, view(...(names.get(name) as [string, string]))]))
    },
    async release() {
      await gradients.release()
      await mover.release()
    },
  }
}

const GRADIENT = 'gradient:'
const gradientName = (key: string) => GRADIENT + key
const sumName = (key: string) => `sum:${key}`

/** The loss and the metrics of a batch, the gradients (with accumulation added to `sum:…`), and the norm of their mean. */
function gradientProgram({ params, loss, metrics }: Objective, options: StepOptions, state: State): Promise<Program> {
  const { accumulation = 1, threads = 0 } = options
  const tensors = [...params.tensors]
  const gradients = grad(
    loss,
    tensors.map(([, p]) => p),
  ).map((g, i) => {
    const [key, { shape }] = tensors[i] as [string, Tensor]
    return accumulation === 1 ? g : g.add(input(sumName(key), shape))
  })
  const norm = globalNorm(gradients)
  const gradNorm = accumulation === 1 ? norm : norm.div(accumulation)
  const byKey = Object.fromEntries(tensors.map(([key], i) => [gradientName(key), gradients[i] as Tensor]))
  return compile({ outputs: { ...reported(loss, metrics), gradNorm, ...byKey }, state }, { threads })
}

/** Moves `size` elements of the flat arrays: takes '' (the parameters), the slots and `gradient`, gives new values. */
function chunkProgram(size: number, options: StepOptions): Promise<Program> {
  const { optimizer, accumulation = 1, threads = 0 } = options
  const chunk = (slot: string) => input(chunkName(slot), [size])
  const sum = input(GRADIENT, [size])
  const mean = accumulation === 1 ? sum : sum.div(accumulation)
  const next = moved(chunk(''), mean, chunk, input('gradNorm', []), scalarInputs(optimizer), options)
  return compile({ outputs: Object.fromEntries([...next].map(([slot, x]) => [newName(slot), x])) }, { threads })
}

const chunkName = (slot: string) => `old:${slot}`
const newName = (slot: string) => `new:${slot}`

async function moveAll(
  program: Program,
  size: number,
  flat: ReadonlyMap<string, Float32Array>,
  gradients: (into: Float32Array) => void,
  scalars: Feeds,
): Promise<void> {
  const gradient = new Float32Array(size)
  const array = (data: Float32Array) => new NdArray(data, [size], 'f32')
  const { length } = flat.get('') as Float32Array
  const { gradNorm: _, ...others } = scalars
  const fed = program.inputNames.includes('gradNorm') ? scalars : others
  for (let start = 0; start < length; start += size) {
    gradients(gradient)
    const chunks = Object.fromEntries([...flat].map(([slot, all]) => [chunkName(slot), array(all.subarray(start, start + size))]))
    const outputs = await program.run({ ...fed, ...chunks, [GRADIENT]: array(gradient) })
    for (const [slot, all] of flat) {
      const moved = outputs[newName(slot)] as NdArray
      all.set(moved.data as Float32Array, start)
      free(moved)
    }
  }
}

/** Arrays one after another: each call fills the next elements, with zeros after the last. An array read to its end is freed. */
function joined(arrays: readonly NdArray[]): (into: Float32Array) => void {
  let [index, taken] = [0, 0]
  return (into) => {
    let filled = 0
    for (let array = arrays[index]; array && filled < into.length; array = arrays[index]) {
      const part = (array.data as Float32Array).subarray(taken, taken + into.length - filled)
      into.set(part, filled)
      filled += part.length
      taken += part.length
      if (taken === array.size) {
        free(array)
        index++
        taken = 0
      }
    }
    into.fill(0, filled)
  }
}

/** Feeds of the gradients' sums so far, zeros at first. */
function named(places: ReadonlyMap<string, Place>, sums: readonly NdArray[]): Feeds {
  return Object.fromEntries([...places].map(([key, { shape }], i) => [sumName(key), sums[i] ?? NdArray.zeros(shape, 'f32')]))
}
