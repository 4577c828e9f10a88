import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ArgumentError, ShapeError } from './errors.ts'
import { axesOf, axisOf, broadcastShapes, dims } from './shape.ts'

test('axes count from either end', () => {
  expect([axisOf(0, 3), axisOf(-1, 3), axisOf(-3, 3)]).toEqual([0, 2, 0])
  for (const bad of [3, -4, 0.5, NaN]) expect(() => axisOf(bad, 3)).toThrow(ArgumentError)
  expect(() => axisOf(3, 3)).toThrow('axis 3 is outside a tensor of rank 3: use -3 to 2')
  expect(axesOf(undefined, 3)).toEqual([0, 1, 2])
  expect(axesOf([-1, 0, 2], 3)).toEqual([0, 2])
  expect(axesOf([], 3)).toEqual([])
})

test('broadcasting is commutative, and what fits a shape leaves it as it is', () => {
  const shape = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 })
  fc.assert(
    fc.property(shape, fc.integer({ min: 0, max: 15 }), (full, ones) => {
      const part = full.map((n, i) => (ones & (1 << i) ? 1 : n))
      expect(broadcastShapes(full, part)).toEqual(full)
      expect(broadcastShapes(part, full)).toEqual(full)
      expect(broadcastShapes(full.slice(1), full)).toEqual(full)
    }),
  )
  expect(broadcastShapes([2, 1, 4], [3, 1])).toEqual([2, 3, 4])
  expect(() => broadcastShapes([2, 3], [2, 4], 'add of "x" and "y"')).toThrow(ShapeError)
  expect(() => broadcastShapes([2, 3], [2, 4], 'add of "x" and "y"')).toThrow(
    'add of "x" and "y": [2, 3] and [2, 4] do not broadcast (axis 1: 3 against 4)',
  )
})

test('named axes give their sizes and assert them', () => {
  const x = { name: 'x', shape: [2, 3, 5] }
  expect(dims(x, 'B N D')).toEqual({ B: 2, N: 3, D: 5 })
  expect(dims(x, 'B N D', { D: 5 })).toEqual({ B: 2, N: 3, D: 5 })
  expect(() => dims(x, 'B D')).toThrow('x: expected axes B D, got shape [2, 3, 5]')
  expect(() => dims(x, 'B N D', { D: 4 })).toThrow('x: expected D = 4 in axes B N D, got shape [2, 3, 5]')
  expect(() => dims(x, 'N N D')).toThrow('x: expected N = 2 in axes N N D')
  expect(() => dims({ shape: [1] }, 'A B')).toThrow('tensor: expected axes A B')
})
