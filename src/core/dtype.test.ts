import { expect, test } from 'vitest'
import {
  allocate,
  bytesPer,
  convert,
  type DType,
  elements,
  fromBfloatBits,
  fromHalfBits,
  toBfloatBits,
  toHalfBits,
  viewOf,
} from './dtype.ts'
import { DTypeError } from './errors.ts'
import { constant, input, scalar } from './tensor.ts'

const patterns = Array.from({ length: 2 ** 16 }, (_, bits) => bits)
const isNaNHalf = (bits: number) => (bits & 0x7fff) > 0x7c00
const isNaNBfloat = (bits: number) => (bits & 0x7fff) > 0x7f80

test('every half and bfloat16 number survives the way through float32', () => {
  for (const bits of patterns) {
    if (isNaNHalf(bits)) expect(Number.isNaN(fromHalfBits(bits))).toBe(true)
    else if (toHalfBits(fromHalfBits(bits)) !== bits) expect.fail(`half ${bits}`)
    if (isNaNBfloat(bits)) expect(Number.isNaN(fromBfloatBits(bits))).toBe(true)
    else if (toBfloatBits(fromBfloatBits(bits)) !== bits) expect.fail(`bfloat16 ${bits}`)
  }
  expect(isNaNHalf(toHalfBits(NaN)) && isNaNBfloat(toBfloatBits(NaN))).toBe(true)
})

test('between two neighbours the nearer is taken, at the middle the even one', () => {
  const check = (from: (bits: number) => number, to: (value: number) => number, largest: number) => {
    for (let bits = 0; bits < largest; bits++) {
      const [low, high] = [from(bits), from(bits + 1)]
      const middle = (low + high) / 2
      const even = bits % 2 === 0 ? bits : bits + 1
      const below = Math.fround(low + (high - low) * 0.49)
      const above = Math.fround(low + (high - low) * 0.51)
      const found = [middle, below, above, -middle].map(to)
      // In the smallest bfloat16 numbers float32 has no room between.
      const expected = [even, bits, bits + 1, even | 0x8000]
      if (found.join() !== expected.join()) expect.fail(`after ${bits}: ${found}, expected ${expected}`)
    }
  }
  check(fromHalfBits, toHalfBits, 0x7bff)
  check(fromBfloatBits, toBfloatBits, 0x7f7f)
  expect([65519.99, 65520, -65520, 1e6].map((value) => fromHalfBits(toHalfBits(value)))).toEqual([
    65504,
    Infinity,
    -Infinity,
    Infinity,
  ])
  expect(fromBfloatBits(toBfloatBits(3.4e38))).toBe(Infinity)
  expect([0, -0].map((value) => fromHalfBits(toHalfBits(value)))).toEqual([0, -0])
})

test('numbers as elements: integers stay exact, floats are rounded once', () => {
  expect(elements([2 ** 53 - 1, -5], 'i64')).toEqual(BigInt64Array.of(2n ** 53n - 1n, -5n))
  expect(elements([2 ** 31 - 1], 'i32')).toEqual(Int32Array.of(2 ** 31 - 1))
  expect(elements([0.1, 1], 'f32')).toEqual(Float32Array.of(0.1, 1))
  expect(elements([1, -2], 'f16')).toEqual(Uint16Array.of(0x3c00, 0xc000))
  expect(elements([1, -2], 'bf16')).toEqual(Uint16Array.of(0x3f80, 0xc000))
  expect(elements([0, 1], 'bool')).toEqual(Uint8Array.of(0, 1))
})

test('conversion between any two dtypes', () => {
  const dtypes: DType[] = ['f32', 'f16', 'bf16', 'i32', 'i64', 'bool', 'u8']
  for (const from of dtypes) {
    for (const to of dtypes) {
      const ones = elements([1, 0, 1], from)
      expect(convert(from, ones, to), `${from} to ${to}`).toEqual(elements([1, 0, 1], to))
    }
  }
  expect(convert('f32', Float32Array.of(2.7, -2.7), 'i64')).toEqual(BigInt64Array.of(2n, -2n))
  expect(convert('f32', Float32Array.of(0.3, 0, -1), 'bool')).toEqual(Uint8Array.of(1, 0, 1))
})

test('arrays and views have the elements that they say', () => {
  for (const [dtype, bytes] of Object.entries(bytesPer) as [DType, number][]) {
    expect(allocate(dtype, 3)).toMatchObject({ length: 3, BYTES_PER_ELEMENT: bytes })
    expect(viewOf(dtype, new ArrayBuffer(64), 16, 2)).toMatchObject({ length: 2, byteOffset: 16 })
  }
})

test('a number that an integer dtype does not hold is refused, not wrapped', () => {
  const refused: [DType, number][] = [
    ['u8', 300],
    ['u8', -1],
    ['i32', 2 ** 31],
    ['i64', 2 ** 63],
    ['i64', NaN],
    ['bool', 2],
    ['i32', 0.5],
  ]
  for (const [dtype, value] of refused) {
    expect(() => elements([value], dtype), `${dtype} ${value}`).toThrow(DTypeError)
    expect(() => scalar(value, dtype), `${dtype} ${value}`).toThrow(`${value} is no ${dtype}`)
    expect(() => constant([value], [1], dtype), `${dtype} ${value}`).toThrow('constant: ')
    if (dtype !== 'bool') expect(() => input('x', [2], dtype).lt(value), `${dtype} ${value}`).toThrow('lt of "x" and a number')
    if (dtype !== 'bool') expect(() => input('x', [2], dtype).clip(0, value)).toThrow('clip of "x"')
    expect(() => input('x', [2], dtype).pad([1], [0], value)).toThrow('pad of "x"')
  }
  expect(Array.from(elements([0, 255], 'u8'))).toEqual([0, 255])
  expect(Array.from(elements([-(2 ** 63), 2 ** 62], 'i64'))).toEqual([-(2n ** 63n), 2n ** 62n])
  expect(() => constant(new Float32Array(2), [2], 'i64')).toThrow('a Float32Array does not hold elements of i64')
  expect(() => convert('f32', Float32Array.of(1, NaN), 'i64')).toThrow('element 1 is NaN')
})
