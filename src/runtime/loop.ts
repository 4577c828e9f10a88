/// <reference path="./webassembly.d.ts" />
import { ArgumentError } from '../core/errors.ts'
import type { Tensor } from '../core/tensor.ts'
import { LANES, type LoopModule, lowerLoop } from '../core/wasm/loop.ts'

/** Elements taken into the module's memory at a time: all arrays of a part then stay in the processor's cache. */
const PART = 8192
/** A page of WebAssembly's memory, in bytes. */
const WASM_PAGE = 2 ** 16

type Arrays = Readonly<Record<string, Float32Array>>

/**
 * Elementwise arithmetic compiled to WebAssembly: a pass over arrays on the host, of any length. It reads and
 * writes each array once, where the engine's operations would do so one after another.
 */
export class Loop {
  private readonly module: LoopModule
  private readonly places: ReadonlyMap<string, Float32Array>
  private readonly call: (...args: number[]) => void

  /** As `lowerLoop`: inputs of shape [4] are arrays, those of one element scalars. */
  constructor(outputs: Readonly<Record<string, Tensor>>) {
    this.module = lowerLoop(outputs)
    const names = [...this.module.arrays.map(arrayName), ...this.module.outputs.map(outputName)]
    const memory = new WebAssembly.Memory({ initial: Math.max(1, Math.ceil((names.length * PART * 4) / WASM_PAGE)) })
    this.places = new Map(names.map((name, i) => [name, new Float32Array(memory.buffer, i * PART * 4, PART)]))
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(this.module.bytes), { env: { memory } })
    this.call = exports.loop as typeof this.call
  }

  /** Fills `into`. All arrays are of one length; those of `into` may be those that are read. */
  run(arrays: Arrays, scalars: Readonly<Record<string, number>>, into: Arrays): void {
    const { arrays: names, outputs, scalars: numbers } = this.module
    const taken = names.map((name) => [given(arrays, name), this.place(arrayName(name))] as const)
    const filled = outputs.map((name) => [given(into, name), this.place(outputName(name))] as const)
    const length = [...taken, ...filled][0]?.[0].length ?? 0
    for (const [array] of [...taken, ...filled]) {
      if (array.length !== length) throw new ArgumentError(`arrays of ${array.length} and of ${length} elements in one loop`)
    }
    const pointers = [...this.places.values()].map(({ byteOffset }) => byteOffset)
    const values = numbers.map((name) => given(scalars, name))
    for (let start = 0; start < length; start += PART) {
      const size = Math.min(PART, length - start)
      for (const [array, place] of taken) place.set(array.subarray(start, start + size))
      this.call(Math.ceil(size / LANES) * LANES * 4, ...pointers, ...values)
      for (const [array, place] of filled) array.set(size === PART ? place : place.subarray(0, size), start)
    }
  }

  private place(name: string): Float32Array {
    return this.places.get(name) as Float32Array
  }
}

const arrayName = (name: string) => `array:${name}`
const outputName = (name: string) => `output:${name}`

function given<T>(values: Readonly<Record<string, T>>, name: string): T {
  const value = values[name]
  if (value === undefined) throw new ArgumentError(`the loop needs "${name}"`)
  return value
}
