import { copyFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { contentOf, errorOf, f32, fileOf, temporaryFolder } from '../../tests/checkpoints.ts'
import { StaleFileError } from '../runtime/stamp.ts'
import type { FileTensor } from '../runtime/weights.ts'
import { SafetensorsError } from './errors.ts'
import { matchWeights } from './match.ts'
import { openSafetensors, readTensor, writeSafetensors } from './safetensors.ts'

const fixture = (name: string) => fileURLToPath(new URL(`../../parity/fixtures/pickles/${name}`, import.meta.url))

test('f64, i16, i8, u16, u32, u64 and both fp8 are read as PyTorch converts them, all of fp8’s 256 numbers', () => {
  const expected = openSafetensors(fixture('types.expected.safetensors')).tensors
  const { tensors } = openSafetensors(fixture('types.safetensors'))
  expect([...tensors.keys()].sort()).toEqual([...expected.keys()].sort())
  for (const [key, tensor] of tensors) {
    const [got, want] = [readTensor(tensor), readTensor(expected.get(key) as FileTensor)]
    expect([got.dtype, got.shape], key).toEqual([want.dtype, want.shape])
    const [a, b] = [got, want].map((array) => [...(array.dtype === 'f16' ? array.cast('f32') : array).data])
    expect(a, key).toEqual(b)
  }
})

test('a tensor of such a type is one of any network, and is written as what it became', () => {
  const { tensors } = openSafetensors(fixture('types.safetensors'))
  const weights = matchWeights(new Map([['f64', { shape: [3, 2], dtype: 'f32' }]]), tensors, {
    place: 'x',
    ignore: (key) => key !== 'f64',
  })
  expect(weights.get('f64')?.dtype).toBe('f32')
  const path = join(temporaryFolder(), 'a.safetensors')
  writeSafetensors(path, [...tensors])
  const again = openSafetensors(path).tensors
  for (const [key, tensor] of tensors) expect(contentOf(readTensor(again.get(key)!)), key).toEqual(contentOf(readTensor(tensor)))
})

test('a type that cannot be read refuses only its own tensor, and only when it is read', () => {
  const path = join(temporaryFolder(), 'a.safetensors')
  const header = '{"a":{"dtype":"C64","shape":[1],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[1],"data_offsets":[8,9]}}'
  writeFileSync(path, fileOf(header, 9))
  const { tensors } = openSafetensors(path)
  expect([...readTensor(tensors.get('b')!).data]).toEqual([0])
  expect(errorOf(() => readTensor(tensors.get('a')!).data)).toMatchObject({
    name: 'SafetensorsError',
    tensor: 'a',
    reason: expect.stringMatching(/C64 cannot be read: cast it to one of F32/),
  })
  writeFileSync(path, fileOf('{"a":{"dtype":"U64","shape":[1],"data_offsets":[0,8]}}', new Uint8Array(8).fill(255)))
  expect(() => readTensor(openSafetensors(path).tensors.get('a')!).data).toThrow(/18446744073709551615, beyond/)
})

test('a file that another program replaces or rewrites is not read as if it were the same', () => {
  const folder = temporaryFolder()
  const path = join(folder, 'a.safetensors')
  const write = (...names: string[]) =>
    writeSafetensors(
      path,
      names.map((name, i) => [name, f32([2], i, i)]),
    )
  write('b', 'c')
  const opened = openSafetensors(path).tensors
  // One tensor more, before the others: what lies at the old offsets is another's.
  write('a', 'b', 'c')
  for (const use of [() => readTensor(opened.get('b')!), () => writeSafetensors(join(folder, 'out'), [...opened])]) {
    expect(errorOf(use)).toBeInstanceOf(StaleFileError)
  }
  expect(errorOf(() => readTensor(opened.get('b')!))).toMatchObject({
    message: expect.stringMatching(/changed since .* open the model again/),
  })
  // The same bytes in place of it are another file still; the file itself under another name and back is not.
  const again = openSafetensors(path).tensors
  renameSync(path, join(folder, 'away'))
  expect(() => readTensor(again.get('b')!)).toThrow(SafetensorsError)
  renameSync(join(folder, 'away'), path)
  expect([...readTensor(again.get('b')!).data]).toEqual([1, 1])
  copyFileSync(path, join(folder, 'copy'))
  rmSync(path)
  renameSync(join(folder, 'copy'), path)
  expect(() => readTensor(again.get('b')!)).toThrow(StaleFileError)
})

test('a foreign type’s file is held against its stamp too', () => {
  const path = join(temporaryFolder(), 'a.safetensors')
  writeFileSync(path, fileOf('{"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}', 2))
  const tensor = openSafetensors(path).tensors.get('a')!
  writeFileSync(path, fileOf('{"b":{"dtype":"I8","shape":[3],"data_offsets":[0,3]}}', 3))
  expect(() => readTensor(tensor).data).toThrow(StaleFileError)
})
