import { expect, test } from 'vitest'
import { input, parameter } from '../core/tensor.ts'
import { NdArray } from './ndarray.ts'
import { compile } from './program.ts'
import { State } from './state.ts'
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
