import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ArgumentError, DTypeError, ShapeError } from '../core/errors.ts'
import { NdArray } from './ndarray.ts'
import { Generator } from './random.ts'

const grid = NdArray.from([
  [1, 2, 3],
  [4, 5, 6],
])

test('arithmetic broadcasts as in NumPy', () => {
  expect(grid.add(NdArray.from([10, 20, 30])).toNested()).toEqual([
    [11, 22, 33],
    [14, 25, 36],
  ])
  expect(grid.mul(NdArray.from([[10], [100]])).toNested()).toEqual([
    [10, 20, 30],
    [400, 500, 600],
  ])
  expect(
    NdArray.from([[1], [2]])
      .sub(NdArray.from([[10, 20]]))
      .toNested(),
  ).toEqual([
    [-9, -19],
    [-8, -18],
  ])
  expect(grid.div(2).data).toEqual(Float32Array.of(0.5, 1, 1.5, 2, 2.5, 3))
  expect(grid.maximum(4).minimum(5).toNested()).toEqual([
    [4, 4, 4],
    [4, 5, 5],
  ])
  expect(() => grid.add(NdArray.from([1, 2]))).toThrow('add: [2, 3] and [2] do not broadcast')
})

test('any two shapes that broadcast agree with index arithmetic', () => {
  const axis = fc.tuple(fc.integer({ min: 1, max: 3 }), fc.constantFrom('both', 'left', 'right'))
  fc.assert(
    fc.property(fc.array(axis, { maxLength: 5 }), fc.nat({ max: 5 }), (axes, dropped) => {
      const shape = axes.map(([n]) => n)
      const aShape = axes.map(([n, who]) => (who === 'right' ? 1 : n))
      const leading = Math.min(dropped, axes.findIndex(([n, who]) => n !== 1 && who !== 'left') >>> 0, axes.length)
      const bShape = axes.map(([n, who]) => (who === 'left' ? 1 : n)).slice(leading)
      const a = new Generator(1).randn(aShape)
      const b = new Generator(2).randn(bShape)
      const sum = a.expand(shape).add(b.expand(shape))
      expect(a.add(b).data).toEqual(sum.data)
      expect(a.add(b).shape).toEqual(shape)
    }),
  )
})

test('every result is rounded to float32, scalars too', () => {
  const x = NdArray.from([0.1, 1 / 3])
  const [a, b] = [Math.fround(0.1), Math.fround(1 / 3)]
  expect(x.mul(0.7).data).toEqual(Float32Array.of(a * Math.fround(0.7), b * Math.fround(0.7)))
  expect(x.mul(x).add(x).data).toEqual(Float32Array.of(Math.fround(a * a) + a, Math.fround(b * b) + b))
})

test('shape operations move elements where they belong', () => {
  const cube = NdArray.from(Float32Array.from({ length: 24 }, (_, i) => i)).reshape([2, 3, -1])
  expect(cube.shape).toEqual([2, 3, 4])
  expect(cube.permute([2, 0, 1]).slice(0, 1, 2).toNested()).toEqual([
    [
      [1, 5, 9],
      [13, 17, 21],
    ],
  ])
  expect(grid.transpose().toNested()).toEqual([
    [1, 4],
    [2, 5],
    [3, 6],
  ])
  expect(cube.slice(1, -1).slice(2, 1, -1).toNested()).toEqual([[[9, 10]], [[21, 22]]])
  expect(cube.row(1).row(2).toNested()).toEqual([20, 21, 22, 23])
  expect(NdArray.concat([cube.slice(1, 0, 1), cube.slice(1, 1)], 1).data).toEqual(cube.data)
  expect(NdArray.stack([cube.row(0), cube.row(1)]).data).toEqual(cube.data)
  expect(NdArray.stack([grid, grid], -1).shape).toEqual([2, 3, 2])
  for (const bad of [() => cube.reshape([5, -1]), () => cube.permute([0, 0, 1]), () => cube.slice(3, 0), () => cube.row(2)])
    expect(bad).toThrow(ShapeError)
  expect(() => NdArray.from([[1, 2], [3]])).toThrow(ShapeError)
})

test('reductions', () => {
  expect(grid.sum().item()).toBe(21)
  expect(grid.sum({ axes: [0] }).toNested()).toEqual([5, 7, 9])
  expect(grid.mean({ axes: [-1], keep: true }).toNested()).toEqual([[2], [5]])
  expect(grid.std().item()).toBeCloseTo(Math.sqrt(3.5), 6)
  expect(grid.std({ correction: 0 }).item()).toBeCloseTo(Math.sqrt(35 / 12), 6)
  expect([grid.max().item(), grid.min().item()]).toEqual([6, 1])
  expect(grid.quantile(0.5).item()).toBe(3.5)
  const near = grid.quantile(0.9, { axes: [0] }).sub(NdArray.from([3.7, 4.7, 5.7]))
  expect(near.abs().max().item()).toBeLessThan(1e-6)
  expect(grid.norm({ axes: [1] }).data).toEqual(Float32Array.of(Math.sqrt(14), Math.sqrt(77)))
  expect(grid.dot(grid)).toBe(91)
  expect(() => grid.quantile(2)).toThrow(ArgumentError)
  expect(
    grid
      .permute([1, 0])
      .sum({ axes: [1] })
      .toNested(),
  ).toEqual([5, 7, 9])
})

test('matrix products, masks, tests for NaN', () => {
  expect(grid.matmul(grid.transpose()).toNested()).toEqual([
    [14, 32],
    [32, 77],
  ])
  expect(() => grid.matmul(grid)).toThrow(ShapeError)
  expect(grid.where(NdArray.from([1, 0, 1]).cast('bool'), 0).toNested()).toEqual([
    [1, 0, 3],
    [4, 0, 6],
  ])
  expect(grid.allFinite()).toBe(true)
  expect(grid.map((v) => (v === 4 ? NaN : v)).allFinite()).toBe(false)
  expect(grid.sub(5).sqrt().allFinite()).toBe(false)
})

test('arithmetic wants float32 and says so; casts keep the shape', () => {
  const half = grid.cast('f16')
  expect(() => half.add(1)).toThrow(DTypeError)
  expect(half.cast('f32').data).toEqual(grid.data)
  expect(NdArray.from([1.00390625]).cast('bf16').cast('f32').item()).toBe(1)
  expect(NdArray.zeros([2, 2], 'i64').toNested()).toEqual([
    [0, 0],
    [0, 0],
  ])
})

test('shapes that are none are refused by name', () => {
  const row = NdArray.from([1, 2, 3], [1, 3])
  expect(() => row.expand([3])).toThrow('expand: [1, 3] does not fit [3]')
  expect(() => row.expand([-1, 3])).toThrow('expand: [-1, 3] is no shape')
  expect(() => NdArray.zeros([-2])).toThrow('NdArray.zeros: [-2] is no shape')
  expect(() => NdArray.full([1.5], 0)).toThrow('NdArray.full: [1.5] is no shape')
  expect(() => new NdArray(new Float32Array(0), [NaN], 'f32')).toThrow('NdArray: [NaN] is no shape')
})

test('nested lists hold the values of 16-bit elements too, and integers as they are', () => {
  expect(
    NdArray.from([[1.5, -2]])
      .cast('f16')
      .toNested(),
  ).toEqual([[1.5, -2]])
  expect(NdArray.from([0.5]).cast('bf16').toNested()).toEqual([0.5])
  expect(new NdArray(BigInt64Array.of(2n ** 40n), [1], 'i64').toNested()).toEqual([2 ** 40])
})
