import { expect, test } from 'vitest'
import { ArgumentError } from '../core/errors.ts'
import { constant, full, input, type Tensor } from '../core/tensor.ts'
import { Loop } from './loop.ts'
import { NdArray } from './ndarray.ts'
import { evaluate } from './program.ts'
import { Generator } from './random.ts'

const [x, y] = [input('x', [4]), input('y', [4])]
const [a, b] = [input('a', []), input('b', [])]

const drawn = (n: number, seed: number) => new Generator(seed).randn([n]).data as Float32Array

test.each([1, 3, 4, 8192, 20_001])('%i elements: what the engine computes from the same arithmetic', async (n) => {
  const draw = (x: Tensor, y: Tensor) => {
    const factor = full([], 2)
      .div(a.add(1e-6))
      .minimum(constant([1], []))
    const mean = x.mul(0.9).add(y.sub(x).mul(factor)).maximum(-1)
    return { mean, root: y.square().sqrt().div(b).add(mean.abs()).neg() }
  }
  const arrays = { x: drawn(n, 0), y: drawn(n, 1) }
  const into = { mean: new Float32Array(n), root: new Float32Array(n) }
  new Loop(draw(x, y)).run(arrays, { a: 3, b: 0.7 }, into)
  const feeds = { x: new NdArray(arrays.x, [n], 'f32'), y: new NdArray(arrays.y, [n], 'f32') }
  const scalars = { a: NdArray.from([3]).reshape([]), b: NdArray.from([0.7]).reshape([]) }
  const expected = await evaluate(draw(input('x', [n]), input('y', [n])), { ...feeds, ...scalars })
  for (const name of ['mean', 'root'] as const) {
    const value = expected[name]?.data as Float32Array
    for (let i = 0; i < n; i++) expect(into[name][i], `${name} ${i}`).toBeCloseTo(value[i] as number, 6)
  }
})

test('outputs may be the arrays that are read', () => {
  const loop = new Loop({ x: x.add(y), y: x.sub(y) })
  const arrays = { x: Float32Array.of(1, 2, 3, 4, 5), y: Float32Array.of(10, 20, 30, 40, 50) }
  loop.run(arrays, {}, arrays)
  expect(arrays).toEqual({ x: Float32Array.of(11, 22, 33, 44, 55), y: Float32Array.of(-9, -18, -27, -36, -45) })
})

test('not a number stays one, through minimum too', () => {
  const z = new Float32Array(2)
  new Loop({ z: x.minimum(1).mul(a) }).run({ x: Float32Array.of(Number.NaN, 5) }, { a: 2 }, { z })
  expect(z).toEqual(Float32Array.of(Number.NaN, 2))
})

test('what a loop cannot do is said when it is made, and what does not fit when it runs', () => {
  expect(() => new Loop({ z: x.exp() })).toThrow(
    new ArgumentError('a loop has no exp, only abs, neg, sqrt, add, sub, mul, div, minimum, maximum'),
  )
  expect(() => new Loop({ z: input('w', [5]).neg() })).toThrow('a loop takes f32 of 1 or 4 elements, "w" is f32 of 5')
  const loop = new Loop({ z: x.add(y).mul(a) })
  const z = new Float32Array(2)
  expect(() => loop.run({ x: z, y: z }, {}, { z })).toThrow('the loop needs "a"')
  expect(() => loop.run({ x: z, y: new Float32Array(3) }, { a: 1 }, { z })).toThrow('arrays of 3 and of 2 elements in one loop')
})
