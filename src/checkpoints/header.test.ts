import { expect, test } from 'vitest'
import { errorOf, fileOf } from '../../tests/checkpoints.ts'
import { SafetensorsError } from './errors.ts'
import { parseHeader } from './header.ts'

const u8 = (begin: number, end: number) => `{"dtype":"U8","shape":[${end - begin}],"data_offsets":[${begin},${end}]}`
const parse = (header: string | Uint8Array, data = 0) => {
  const file = fileOf(header, data)
  return parseHeader(file, file.length)
}
const withLength = (length: bigint, size = 16) => {
  const file = new Uint8Array(size).fill(0x20)
  file[8] = 0x7b
  new DataView(file.buffer).setBigUint64(0, length, true)
  return file
}

test('offsets count from the start of the file, in the order of the data', () => {
  const { tensors, metadata } = parse(`{"b":${u8(2, 5)},"__metadata__":{"a":"1"},"a":${u8(0, 2)}}`, 5)
  const start = 8 + `{"b":${u8(2, 5)},"__metadata__":{"a":"1"},"a":${u8(0, 2)}}`.length
  expect([...tensors]).toEqual([
    ['a', { dtype: 'u8', shape: [2], offset: start }],
    ['b', { dtype: 'u8', shape: [3], offset: start + 2 }],
  ])
  expect({ ...metadata }).toEqual({ a: '1' })
})

test.each([
  ['no tensors', '{}', 0],
  ['rank 0', '{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}', 4],
  ['empty tensors, where others meet', `{"a":${u8(0, 2)},"e":${u8(2, 2)},"f":${u8(2, 2)},"b":${u8(2, 3)}}`, 3],
  ['an empty tensor listed after the one that begins there', `{"a":${u8(0, 2)},"e":${u8(0, 0)}}`, 2],
  ['an unaligned offset', `{"a":${u8(0, 1)},"b":{"dtype":"I64","shape":[1],"data_offsets":[1,9]}}`, 9],
  [
    'white space between tokens and after the header',
    `{ "a" :\n\t{ "dtype":"U8" , "shape":[ ],"data_offsets":[ 0 , 1 ]}\r} \n  `,
    1,
  ],
  ['64 axes', `{"a":{"dtype":"U8","shape":[${Array(64).fill(1)}],"data_offsets":[0,1]}}`, 1],
  ['F64', '{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}', 8],
  ['4 bits', '{"a":{"dtype":"F4","shape":[6],"data_offsets":[0,3]}}', 3],
  ['the empty key', `{"":${u8(0, 1)}}`, 1],
])('legal: %s', (_, header, data) => {
  expect(() => parse(header, data)).not.toThrow()
})

test('a key __proto__ is a key', () => {
  const { tensors, metadata } = parse(`{"__metadata__":{"__proto__":"x"},"__proto__":${u8(0, 1)}}`, 1)
  expect([...tensors.keys()]).toEqual(['__proto__'])
  expect(Object.entries(metadata)).toEqual([['__proto__', 'x']])
  expect(Object.getPrototypeOf(metadata)).toBe(null)
  expect(Object.getPrototypeOf({})).toBe(Object.prototype)
})

test.each<[string, Uint8Array, RegExp]>([
  ['empty file', new Uint8Array(0), /0 bytes are too few/],
  ['7 bytes', new Uint8Array(7), /7 bytes are too few/],
  ['101 MB', withLength(101_000_000n), /header of 101000000 bytes, where the format allows 100000000/],
  ['2^53 + 1', withLength(2n ** 53n + 1n), /header of 9007199254740993 bytes/],
  ['2^64 − 1', withLength(2n ** 64n - 1n), /header of 18446744073709551615 bytes/],
  ['longer than the file', withLength(9n), /header of 9 bytes in a file of 16/],
  ['0', withLength(0n, 8), /must start with '{'/],
])('length: %s', (_, file, message) => {
  expect(() => parseHeader(file, file.length)).toThrow(SafetensorsError)
  expect(() => parseHeader(file, file.length)).toThrow(message)
})

const a = u8(0, 1)
test.each<[string, string | Uint8Array, number, RegExp]>([
  ['an array', '[]', 0, /must start with '{'/],
  ['leading space', ' {}', 0, /must start with '{'/],
  ['byte order mark', '\ufeff{}', 0, /must start with '{'/],
  ['invalid UTF-8', Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d), 0, /not valid UTF-8/],
  ['surrogate as UTF-8', Uint8Array.of(0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x7d), 0, /not valid UTF-8/],
  ['no end', '{', 0, /a key must be a string/],
  ['comma at the end', `{"a":${a},}`, 1, /a key must be a string/],
  ['no comma', `{"a":${a} "b":${u8(1, 2)}}`, 2, /expected '}', got "\\""/],
  ['no colon', `{"a"${a}}`, 1, /expected ':'/],
  ['text after', '{}x', 0, /"x" after the end/],
  ['NUL padding', '{}\0', 0, /after the end/],
  ['two objects', '{}{}', 0, /after the end/],
  ['unquoted key', `{a:${a}}`, 1, /a key must be a string/],
  ['key without end', '{"a', 0, /does not end/],
  ['escaped quote at the end', '{"a\\"', 0, /does not end/],
  ['raw control character', `{"a\n":${a}}`, 1, /control character/],
  ['bad escape', `{"\\x41":${a}}`, 1, /bad escape/],
  ['half a surrogate pair', `{"\\ud800":${a}}`, 1, /surrogate/],
  ['duplicate tensor', `{"a":${a},"b":${u8(1, 2)},"a":${a}}`, 2, /duplicate key "a"/],
  ['duplicate by escape', `{"a":${a},"\\u0061":${a}}`, 1, /duplicate key "a"/],
  ['duplicate __proto__', `{"__proto__":${a},"__proto__":${a}}`, 1, /duplicate key "__proto__"/],
  [
    'duplicate field',
    '{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
    1,
    /tensor "a": duplicate key "dtype"/,
  ],
  ['duplicate __metadata__', '{"__metadata__":{},"__metadata__":{}}', 0, /duplicate key "__metadata__"/],
  ['duplicate metadata', '{"__metadata__":{"k":"1","k":"1"}}', 0, /duplicate key "k"/],
  ['metadata number', '{"__metadata__":{"k":1}}', 0, /strings to strings: the value of "k"/],
  ['metadata null', '{"__metadata__":null}', 0, /expected '{'/],
  ['metadata nested', '{"__metadata__":{"k":{}}}', 0, /strings to strings/],
  ['tensor null', '{"a":null}', 0, /tensor "a": expected '{'/],
  ['unknown field', '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}}', 1, /unknown field "x"/],
  ['no dtype', '{"a":{"shape":[1],"data_offsets":[0,1]}}', 1, /needs dtype/],
  ['no shape', '{"a":{"dtype":"U8","data_offsets":[0,1]}}', 1, /needs dtype, shape/],
  ['no offsets', '{"a":{"dtype":"U8","shape":[1]}}', 1, /needs .*data_offsets/],
  ['dtype number', '{"a":{"dtype":1,"shape":[1],"data_offsets":[0,1]}}', 1, /dtype must be a string/],
  ['dtype of nobody', '{"a":{"dtype":"f32","shape":[1],"data_offsets":[0,4]}}', 4, /"f32" is not supported/],
  ['dtype constructor', '{"a":{"dtype":"constructor","shape":[1],"data_offsets":[0,4]}}', 4, /not supported/],
  ['one offset', '{"a":{"dtype":"U8","shape":[0],"data_offsets":[0]}}', 0, /two numbers/],
  ['three offsets', '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}}', 1, /more than 2 numbers/],
  ['65 axes', `{"a":{"dtype":"U8","shape":[${Array(65).fill(1)}],"data_offsets":[0,1]}}`, 1, /more than 64 numbers/],
  ['shape not a list', '{"a":{"dtype":"U8","shape":1,"data_offsets":[0,1]}}', 1, /expected '\['/],
  ['shape nested', '{"a":{"dtype":"U8","shape":[[1]],"data_offsets":[0,1]}}', 1, /expected integers/],
  ['size too small', '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', 4, /F32 \[2\] takes 8 bytes.*span 4/],
  ['end before begin', `{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}`, 1, /span -1/],
  ['shape overflow', '{"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}}', 0, /more than 2\^53 bytes/],
  ['overflow × 0', '{"a":{"dtype":"F32","shape":[9007199254740991,0],"data_offsets":[0,0]}}', 0, /more than 2\^53 bytes/],
  ['overlap', `{"a":${u8(0, 2)},"b":${u8(1, 3)}}`, 3, /tensor "b": begins at 1 and overlaps "a", which ends at 2/],
  ['same place', `{"a":${u8(0, 2)},"b":${u8(0, 2)}}`, 2, /overlaps/],
  ['empty tensor inside another', `{"a":${u8(0, 2)},"b":${u8(1, 1)}}`, 2, /overlaps/],
  ['hole', `{"a":${u8(0, 1)},"b":${u8(3, 4)}}`, 4, /tensor "b": begins at 3 and leaves a hole of 2 bytes after "a"/],
  ['hole at the start', `{"a":${u8(1, 2)}}`, 2, /hole of 1 bytes after the start/],
  ['trailing bytes', `{"a":${a}}`, 2, /1 bytes follow the last tensor/],
  ['data without tensors', '{}', 1, /1 bytes follow/],
  ['cut short', `{"a":${u8(0, 9)}}`, 8, /take 9 bytes and the file holds 8/],
])('refused: %s', (_, header, data, message) => {
  const error = errorOf(() => parse(header, data))
  expect(error).toBeInstanceOf(SafetensorsError)
  expect((error as SafetensorsError).message).toMatch(message)
})

test.each([
  '-1',
  '-0',
  '1.0',
  '0.5',
  '1e0',
  '01',
  '+1',
  '0x1',
  'NaN',
  'null',
  'true',
  '"1"',
  '9007199254740992',
  '18446744073709551615',
  '9'.repeat(400),
])('refused as an offset or an axis: %s', (number) => {
  for (const header of [
    `{"a":{"dtype":"U8","shape":[${number}],"data_offsets":[0,1]}}`,
    `{"a":{"dtype":"U8","shape":[1],"data_offsets":[${number},1]}}`,
    `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,${number}]}}`,
  ]) {
    expect(() => parse(header, 1)).toThrow(/tensor "a": (shape|data_offsets): expected integers from 0 to 2\^53 − 1/)
  }
})

test('an error carries the file, the tensor and the reason, at a length one can read', () => {
  const key = 'k'.repeat(10_000)
  const file = fileOf(`{"${key}":{"dtype":"F65","shape":[1],"data_offsets":[0,8]}}`, 8)
  const error = errorOf(() => parseHeader(file, file.length, 'model.safetensors')) as SafetensorsError
  expect(error).toMatchObject({ file: 'model.safetensors', tensor: key, reason: expect.stringContaining('F65') })
  expect(error.message.length).toBeLessThan(500)
})

test('bytes may end with the header; shorter ones are an error', () => {
  const file = fileOf(`{"a":${u8(0, 100)}}`, 0)
  expect(parseHeader(file, file.length + 100).tensors.size).toBe(1)
  expect(() => parseHeader(file.subarray(0, 20), file.length + 100)).toThrow(/20 bytes do not hold the header/)
})
