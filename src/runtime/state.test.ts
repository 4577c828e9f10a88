import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-common'
import { expect, test } from 'vitest'
import { ArgumentError } from '../core/errors.ts'
import { input, parameter } from '../core/tensor.ts'
import { EngineError, fromOrt } from './engine.ts'
import { NdArray } from './ndarray.ts'
import { compile } from './program.ts'
import { State } from './state.ts'

// Steps on the GPU are in tests/operations/webgpu.test.ts.

const [a, b] = [parameter('a', [2]), parameter('b', [2])]
const twoValues = () =>
  State.from([
    ['a', NdArray.from([1, 2])],
    ['b', NdArray.from([10, 20])],
  ])
const numbers = (array: NdArray | undefined) => Array.from(array?.data as Float32Array)

test('updates take effect together after each run', async () => {
  const state = await twoValues()
  const program = await compile({
    outputs: { sum: a.sum() },
    state,
    updates: new Map([
      ['a', b],
      ['b', a.add(b)],
    ]),
  })
  const sums: (number | undefined)[] = []
  for (let i = 0; i < 4; i++) sums.push((await program.run()).sum?.item())
  expect(sums).toEqual([3, 30, 33, 63])
  const values = await state.read()
  expect([numbers(values.get('a')), numbers(values.get('b'))]).toEqual([
    [32, 64],
    [53, 106],
  ])
  expect([...(await state.read(['b'])).keys()]).toEqual(['b'])
})

test('several programs share a state', async () => {
  const state = await twoValues()
  const step = await compile({ outputs: {}, state, updates: new Map([['a', a.mul(2)]]) })
  const look = await compile({ outputs: { y: a.add(input('x', [2])) }, state })
  await step.run()
  await step.run()
  expect(numbers((await look.run({ x: NdArray.from([0, 1]) })).y)).toEqual([4, 9])
})

test('what was read stays as it was when the state moves on', async () => {
  const state = await twoValues()
  const before = await state.read()
  const step = await compile({ outputs: {}, state, updates: new Map([['a', a.mul(2)]]) })
  await step.run()
  const between = await state.read()
  await step.run()
  expect([before, between].map((values) => numbers(values.get('a')))).toEqual([
    [1, 2],
    [2, 4],
  ])
})

test('names that it does not hold are told', async () => {
  const state = await twoValues()
  expect(state.names).toEqual(['a', 'b'])
  expect([state.has('a'), state.has('c'), state.specOf('c')]).toEqual([true, false, undefined])
  expect(state.specOf('a')).toMatchObject({ shape: [2], dtype: 'f32' })
  expect(() => state.get('c')).toThrow(new ArgumentError('the state has no "c"'))
  await expect(state.read(['c'])).rejects.toThrow('the state has no "c"')
})

test('a value on the GPU is refused where it would be read as garbage or abort the process', async () => {
  const state = await twoValues()
  const program = await compile({ outputs: { y: a.mul(2) }, state })
  let freed = 0
  const onGpu = () => ({ location: 'gpu-buffer', type: 'float32', dims: [2], dispose: () => freed++ }) as unknown as OrtTensor
  state.replace('a', onGpu(), session())
  await expect(program.run()).rejects.toThrow(EngineError)
  await expect(program.run()).rejects.toThrow('"a" of the state lies on the GPU and this program runs on cpu')
  expect(() => fromOrt(onGpu())).toThrow('a tensor on the GPU was read as if on the host')
  state.replace('a', onGpu(), session())
  expect(freed).toBe(1)
})

test('a session outlives the values that it made on the GPU', async () => {
  const state = await twoValues()
  const events: string[] = []
  const onGpu = (name: string) =>
    ({ location: 'gpu-buffer', type: 'float32', dims: [2], dispose: () => events.push(`free ${name}`) }) as unknown as OrtTensor
  const [first, second] = [session(() => events.push('release first')), session(() => events.push('release second'))]
  state.replace('a', onGpu('a1'), first)
  state.replace('b', onGpu('b1'), first)
  await state.free(first)
  state.replace('a', onGpu('a2'), second)
  expect(events).toEqual(['free a1'])
  state.replace('b', onGpu('b2'), second)
  expect(events).toEqual(['free a1', 'free b1', 'release first'])
  await state.free(second)
  expect(events).toHaveLength(3)
  await state.release()
  expect(events.slice(3)).toEqual(['free a2', 'free b2', 'release second'])
  expect(state.names).toEqual([])
  await state.free(session(() => events.push('release third')))
  expect(events.at(-1)).toBe('release third')
})

const session = (release: () => void = () => undefined) => ({ release: async () => release() }) as unknown as InferenceSession
