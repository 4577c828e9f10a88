import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkpoint, contentOf, errorOf, f32, fileOf, temporaryFolder } from '../../tests/checkpoints.ts'
import { allocate, type DType, viewOf } from '../core/dtype.ts'
import { sizeOf } from '../core/shape.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { FileTensor } from '../runtime/weights.ts'
import { PickleError, SafetensorsError } from './errors.ts'
import { openSafetensors, readTensor, writeSafetensors } from './safetensors.ts'

const dtypes: DType[] = ['f32', 'f16', 'bf16', 'i32', 'i64', 'bool', 'u8']

const anyArray: fc.Arbitrary<NdArray> = fc
  .record({
    dtype: fc.constantFrom(...dtypes),
    shape: fc.array(fc.nat(4), { maxLength: 4 }),
    seed: fc.infiniteStream(fc.nat(255)),
  })
  .map(({ dtype, shape, seed }) => {
    const { byteLength } = allocate(dtype, sizeOf(shape))
    const bytes = Uint8Array.from(seed.take(byteLength), (byte) => (dtype === 'bool' ? byte % 2 : byte))
    return new NdArray(viewOf(dtype, bytes.buffer, 0, sizeOf(shape)), shape, dtype)
  })
const anyText = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('__proto__', '', '1', '0'),
)
const anyTensors = fc.uniqueArray(
  fc.tuple(
    anyText.filter((key) => key !== '__metadata__'),
    anyArray,
  ),
  { selector: ([key]) => key, maxLength: 6 },
)

describe('laws', () => {
  test('load after save is the identity, for every dtype, shape, key and metadata', () => {
    const path = join(temporaryFolder(), 'a.safetensors')
    const seen = new Set<DType>()
    fc.assert(
      fc.property(
        anyTensors,
        fc.uniqueArray(fc.tuple(anyText, anyText), { selector: ([key]) => key, maxLength: 3 }),
        (tensors, texts) => {
          writeSafetensors(path, tensors, Object.fromEntries(texts))
          const opened = openSafetensors(path)
          expect(Object.entries(opened.metadata).sort()).toEqual(texts.sort())
          const loaded = new Map(Array.from(opened.tensors, ([key, tensor]) => [key, contentOf(readTensor(tensor))]))
          expect(loaded).toEqual(new Map(tensors.map(([key, tensor]) => [key, contentOf(tensor)])))
          for (const [, { dtype, size }] of tensors) if (size > 0) seen.add(dtype)
        },
      ),
      { seed: 2, numRuns: 150 },
    )
    expect(seen.size).toBe(dtypes.length)
  })

  test('a file written from another, still on disk, or over itself, is the same file', () => {
    const folder = temporaryFolder()
    const original = checkpoint('dtypes.safetensors')
    const path = join(folder, 'copy.safetensors')
    const { tensors, metadata } = openSafetensors(original)
    writeSafetensors(path, tensors, metadata)
    expect(readFileSync(path).equals(readFileSync(original))).toBe(true)
    writeSafetensors(path, openSafetensors(path).tensors, metadata)
    expect(readFileSync(path).equals(readFileSync(original))).toBe(true)
  })

  test('the order in which tensors are given does not matter', () => {
    const folder = temporaryFolder()
    const tensors = [...openSafetensors(checkpoint('dtypes.safetensors')).tensors]
    writeSafetensors(join(folder, 'a'), tensors)
    writeSafetensors(join(folder, 'b'), tensors.reverse())
    expect(readFileSync(join(folder, 'a')).equals(readFileSync(join(folder, 'b')))).toBe(true)
  })
})

describe('files of the reference writer', () => {
  test('hold what Python put there', () => {
    const { tensors, metadata } = openSafetensors(checkpoint('dtypes.safetensors'))
    const values = (key: string) => {
      const array = readTensor(tensors.get(key)!)
      return [
        array.dtype,
        array.shape,
        Array.from<number | bigint, number>(array.dtype === 'i64' ? array.data : array.cast('f32').data, Number),
      ]
    }
    const sixths = [-0.5, -0.25, 0, 0.25, 0.5, 0.75]
    expect(values('z.f32')).toEqual(['f32', [2, 3], sixths])
    expect(values('y.f16')).toEqual(['f16', [3, 2], sixths])
    expect(values('x.bf16')).toEqual(['bf16', [1, 6], sixths])
    expect(values('w.i32')[2]).toEqual([0, 1, 2, 3, 4, 5].map((i) => Math.fround(i * 1000003 - 7)))
    expect(values('v.i64')).toEqual(['i64', [6], [0, 1, 2, 3, 4, 5].map((i) => i * 2 ** 40 - 7)])
    expect(values('u.u8')).toEqual(['u8', [6], [0, 50, 100, 150, 200, 250]])
    expect(values('t.bool')).toEqual(['bool', [6], [1, 0, 0, 1, 0, 0]])
    expect(values('scalar')).toEqual(['f32', [], [3.25]])
    expect(values('empty')).toEqual(['f32', [0, 3], []])
    expect(
      ['', '__proto__', 'quote" backslash\\ tab\t bell\u0007 delete\u007f line\u2028', '\uffff', '\u{1f600}'].map(
        (key) => values(key)[2],
      ),
    ).toEqual([[1], [2], [3], [4], [5]])
    expect(tensors.size).toBe(14)
    expect(JSON.parse(metadata.provenance!)).toMatchObject({ seed: 0, safetensors: expect.any(String) })
  })

  test.each(['dtypes', 'empty', 'plain', 'ddpm/unet/diffusion_pytorch_model', 'sharded/diffusion_pytorch_model-00001-of-00003'])(
    'come out of ours byte for byte: %s',
    (name) => {
      const path = join(temporaryFolder(), 'ours.safetensors')
      const original = checkpoint(`${name}.safetensors`)
      const { tensors, metadata } = openSafetensors(original)
      writeSafetensors(
        path,
        Array.from(tensors, ([key, tensor]) => [key, readTensor(tensor)] as const),
        metadata,
      )
      expect(readFileSync(path).equals(readFileSync(original))).toBe(true)
    },
  )
})

describe('reading', () => {
  test('an unaligned tensor is copied to where it aligns', () => {
    const path = join(temporaryFolder(), 'a.safetensors')
    const header = '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"I64","shape":[1],"data_offsets":[1,9]}}'
    writeFileSync(path, fileOf(header, Uint8Array.of(9, 1, 0, 0, 0, 0, 0, 0, 0)))
    const b = openSafetensors(path).tensors.get('b') as FileTensor
    expect(b.offset % 2).toBe(1)
    expect([...readTensor(b).data]).toEqual([1n])
  })

  test('only the header is read: a terabyte opens at once, and a false one is refused at once', () => {
    const path = join(temporaryFolder(), 'a.safetensors')
    const size = 2 ** 40
    const header = fileOf(`{"a":{"dtype":"U8","shape":[${size}],"data_offsets":[0,${size}]}}`)
    writeFileSync(path, header)
    truncateSync(path, header.length + size)
    expect(openSafetensors(path).tensors.get('a')).toMatchObject({ shape: [size], file: path, offset: header.length })
    truncateSync(path, header.length + size - 1)
    expect(() => openSafetensors(path)).toThrow(/cut short/)
  })

  test('a symlink is followed, and the tensor lies in the real file', () => {
    const folder = temporaryFolder()
    symlinkSync(checkpoint('plain.safetensors'), join(folder, 'link.safetensors'))
    const { tensors } = openSafetensors(join(folder, 'link.safetensors'))
    expect(tensors.get('a')).toMatchObject({ file: checkpoint('plain.safetensors') })
  })

  test('no file, a folder, a file changed since', () => {
    const folder = temporaryFolder()
    const path = join(folder, 'a.safetensors')
    expect(errorOf(() => openSafetensors(path))).toMatchObject({
      name: 'SafetensorsError',
      file: path,
      message: expect.stringMatching(/cannot be opened: ENOENT/),
    })
    expect(() => openSafetensors(folder)).toThrow(/not a file/)
    writeSafetensors(path, [['a', f32([2], 1, 2)]])
    const a = openSafetensors(path).tensors.get('a') as FileTensor
    truncateSync(path, statSync(path).size - 1)
    expect(() => readTensor(a)).toThrow(SafetensorsError)
    expect(() => readTensor({ ...a, shape: [2 ** 50] })).toThrow(/has changed/)
  })

  test('a bool is 0 or 1', () => {
    const path = join(temporaryFolder(), 'a.safetensors')
    writeFileSync(path, fileOf('{"a":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}}', Uint8Array.of(1, 0, 7)))
    expect(() => readTensor(openSafetensors(path).tensors.get('a')!)).toThrow(/is 7: a bool is 0 or 1/)
  })
})

describe('what is not safetensors', () => {
  const zip = Uint8Array.of(0x50, 0x4b, 3, 4, 0, 0, 8, 8, 0, 0, 0, 0)
  const pickle2 = Uint8Array.of(0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20)
  const pickle4 = Uint8Array.of(0x80, 4, 0x95, 10, 0, 0, 0, 0, 0, 0, 0, 0x7d)
  test.each([
    ['model.safetensors', zip],
    ['model.safetensors', pickle2],
    ['model.safetensors', pickle4],
    ['model', pickle2],
    ['model.ckpt', zip],
    ['model.bin', Buffer.from('(dp0\nS"a"\nI1\ns.')],
    ['model.PT', Buffer.from('')],
  ])('a pickle is refused under the name %s', (name, bytes) => {
    const path = join(temporaryFolder(), name)
    writeFileSync(path, bytes)
    const error = errorOf(() => openSafetensors(path))
    expect(error).toBeInstanceOf(PickleError)
    expect((error as PickleError).message).toMatch(/pickle.*Convert it to safetensors/)
  })

  test.each([0x280, 0x480])('a header of %i bytes starts as a pickle does, and is none', (length) => {
    const path = join(temporaryFolder(), 'a.safetensors')
    writeFileSync(path, fileOf('{}'.padEnd(length)))
    expect(openSafetensors(path).tensors.size).toBe(0)
  })

  test('safetensors are read under any name', () => {
    const path = join(temporaryFolder(), 'model.ckpt')
    writeSafetensors(path, [['a', f32([1], 1)]])
    expect(openSafetensors(path).tensors.size).toBe(1)
  })

  test('a Git LFS pointer says so', () => {
    const path = join(temporaryFolder(), 'a.safetensors')
    writeFileSync(path, 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n')
    expect(() => openSafetensors(path)).toThrow(/git lfs pull/)
  })
})

describe('writing', () => {
  const path = () => join(temporaryFolder(), 'a.safetensors')
  test.each<[string, Parameters<typeof writeSafetensors>[1], Record<string, string>, RegExp]>([
    [
      'a key given twice',
      [
        ['a', f32([1], 1)],
        ['a', f32([1], 1)],
      ],
      {},
      /tensor "a": given twice/,
    ],
    ["the metadata's key", [['__metadata__', f32([1], 1)]], {}, /keeps this key/],
    ['half a surrogate pair', [['\ud800', f32([1], 1)]], {}, /surrogate/],
    ['metadata with half a surrogate pair', [], { a: '\ud800' }, /metadata "a" has half/],
    ['metadata that are no text', [], { a: 1 as unknown as string }, /metadata "a" is a number/],
  ])('refuses %s, and leaves no file', (_, tensors, metadata, message) => {
    const file = path()
    expect(() => writeSafetensors(file, tensors, metadata)).toThrow(message)
    expect(readdirSync(join(file, '..'))).toEqual([])
  })

  test('a view of a larger buffer writes its own elements', () => {
    const file = path()
    const data = Float32Array.of(0, 1, 2, 3).subarray(1, 3)
    writeSafetensors(file, [['a', new NdArray(data, [2], 'f32')]])
    expect([...readTensor(openSafetensors(file).tensors.get('a')!).data]).toEqual([1, 2])
  })

  test('floats are cast on the way, from memory and from a file, and nothing else is', () => {
    const file = path()
    const { tensors } = openSafetensors(checkpoint('dtypes.safetensors'))
    writeSafetensors(file, tensors, {}, { floats: 'f16' })
    const cast = openSafetensors(file).tensors
    for (const [key, tensor] of tensors) {
      const original = readTensor(tensor)
      const want = ['f32', 'bf16', 'f16'].includes(tensor.dtype) ? original.cast('f16') : original
      expect(contentOf(readTensor(cast.get(key)!))).toEqual(contentOf(want))
    }
  })

  test('a number beyond f16 is an error, infinity and NaN are not', () => {
    const file = path()
    writeSafetensors(file, [['a', f32([4], Infinity, -Infinity, NaN, 65519)]], {}, { floats: 'f16' })
    const before = readFileSync(file)
    const error = errorOf(() => writeSafetensors(file, [['a', f32([2], 1, -65520)]], {}, { floats: 'f16' }))
    expect(error).toMatchObject({
      name: 'SafetensorsError',
      tensor: 'a',
      reason: expect.stringMatching(/element 1 is -65520, beyond f16's 65504/),
    })
    const bf16 = new NdArray(Uint16Array.of(0x7f80, 0x7f7f), [2], 'bf16')
    expect(() => writeSafetensors(file, [['a', bf16]], {}, { floats: 'f16' })).toThrow(/element 1 is 3\.38/)
    expect(readFileSync(file).equals(before)).toBe(true)
    expect(readdirSync(join(file, '..'))).toEqual(['a.safetensors'])
  })

  test('where the folder is missing, or a folder is in the way, the error is typed', () => {
    const folder = temporaryFolder()
    expect(errorOf(() => writeSafetensors(join(folder, 'no/a'), []))).toMatchObject({
      name: 'SaveError',
      message: expect.stringMatching(/ENOENT/),
    })
    mkdirSync(join(folder, 'd'))
    expect(errorOf(() => writeSafetensors(join(folder, 'd'), []))).toMatchObject({ name: 'SaveError', file: join(folder, 'd') })
    expect(readdirSync(folder)).toEqual(['d'])
  })
})
