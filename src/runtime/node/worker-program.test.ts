import type { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { constant, input, parameter } from '../../core/tensor.ts'
import { EngineError } from '../engine.ts'
import { NdArray } from '../ndarray.ts'
import { compile } from '../program.ts'
import { State } from '../state.ts'
import { WorkerProgram } from './worker-program.ts'

const [x, w, b] = [input('x', [2, 3]), parameter('w', [3, 2]), parameter('b', [2])]
const outputs = { y: x.matmul(w).add(b), sum: x.sum() }
const feeds = (start: number) => ({ x: NdArray.from([0, 1, 2, 3, 4, 5].map((i) => start + i)).reshape([2, 3]) })

async function both() {
  const [weight, bias] = [new Float32Array([1, 2, 3, 4, 5, 6]), new Float32Array([7, 8])]
  const state = await State.from([
    ['w', new NdArray(weight, [3, 2], 'f32')],
    ['b', new NdArray(bias, [2], 'f32')],
  ])
  return {
    weight,
    here: await compile({ outputs, state }),
    there: await WorkerProgram.compile({ outputs, state }, { threads: 1 }),
  }
}

test('gives what a program in this thread gives, at the same time, with the state as it is at each run', async () => {
  const { weight, here, there } = await both()
  for (const first of [1, -4]) {
    weight[0] = first
    const results = await Promise.all([there.run(feeds(first)), here.run(feeds(first))])
    expect(results[0]).toEqual(results[1])
  }
  await there.release()
  await here.release()
})

test('what does not fit is an error here, and the thread goes on', async () => {
  const { here, there } = await both()
  await expect(there.run({})).rejects.toThrow('input "x" is missing: expected f32[2, 3]')
  await expect(there.run({ ...feeds(0), z: NdArray.from([1]) })).rejects.toThrow('no input "z"')
  expect((await there.run(feeds(0))).sum).toEqual(NdArray.from([15]).reshape([]))
  await there.release()
  await here.release()
})

test('a released program says so, and twice is once', async () => {
  const { here, there } = await both()
  await Promise.all([there.release(), there.release()])
  await there.release()
  await expect(there.run(feeds(0))).rejects.toThrow('this program was released; compile it again')
  await here.release()
})

test('a parameter without a value is an error before a thread starts', async () => {
  const state = await State.from([])
  await expect(WorkerProgram.compile({ outputs, state }, {})).rejects.toThrow('parameters without a value: "w", "b"')
})

test('released in the middle of a run, it gives the result first', async () => {
  const { here, there } = await both()
  const [running, released] = [there.run(feeds(0)), there.release()]
  expect(await running).toEqual(await here.run(feeds(0)))
  await released
  await here.release()
})

test('an error within leaves the program usable', async () => {
  // An index that is out of range fails only while it runs.
  const table = parameter('table', [3, 2])
  const index = input('index', [1], 'i64')
  const rows = (i: bigint) => ({ index: new NdArray(BigInt64Array.of(i), [1], 'i64') })
  const state = await State.from([['table', NdArray.from([[1, 2], [3, 4], [5, 6]])]]) // biome-ignore format: a table
  for (const program of [
    await WorkerProgram.compile({ outputs: { y: table.gather(index, 0) }, state }, {}),
    await WorkerProgram.compile({ outputs: { y: constant([1, 2, 3, 4, 5, 6], [3, 2]).gather(index, 0) } }, {}),
  ]) {
    await expect(program.run(rows(7n))).rejects.toThrow(EngineError)
    expect((await program.run(rows(1n))).y?.data).toEqual(Float32Array.of(3, 4))
    await program.release()
  }
})

test('a thread that is gone is an error for every later run, and released at once', async () => {
  const { here, there } = await both()
  const { worker } = there as unknown as { worker: Worker }
  await worker.terminate()
  for (let i = 0; i < 2; i++) await expect(there.run(feeds(0))).rejects.toThrow('a thread of ONNX Runtime ended with code 1')
  await there.release()
  await here.release()
})

test('the state may be of any type', async () => {
  const [half, long, byte] = [parameter('half', [3], 'f16'), parameter('long', [1], 'i64'), parameter('byte', [1], 'u8')]
  const state = await State.from([
    ['byte', new NdArray(Uint8Array.of(250), [1], 'u8')],
    ['half', NdArray.from([1.5, -2, 0.25]).cast('f16')],
    ['long', new NdArray(BigInt64Array.of(2n ** 40n), [1], 'i64')],
  ])
  const outputs = { byte_: byte.cast('f32'), half_: half.cast('f32'), long_: long.add(1) }
  const program = await WorkerProgram.compile({ outputs, state }, {})
  for (let i = 0; i < 2; i++) {
    const { byte_, half_, long_ } = await program.run()
    expect([byte_?.data[0], [...half_!.data], long_?.data[0]]).toEqual([250, [1.5, -2, 0.25], 2n ** 40n + 1n])
  }
  await program.release()
})
