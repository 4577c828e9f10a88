import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { errorOf, temporaryFolder } from '../../../tests/checkpoints.ts'
import { LangevinError } from '../../core/errors.ts'
import { sizeOf } from '../../core/shape.ts'
import { StaleFileError } from '../../runtime/stamp.ts'
import { PickleError } from '../errors.ts'
import { openWeights } from '../folder.ts'
import { openSafetensors, readTensor } from '../safetensors.ts'
import { openWeightFile } from '../weight-file.ts'
import { openTorchFile } from './torch-file.ts'

const folder = fileURLToPath(new URL('../../../parity/fixtures/pickles/', import.meta.url))
const fixture = (name: string) => join(folder, name)
const good = readdirSync(folder)
  .flatMap((name) => /^(.+)\.pt$/.exec(name)?.[1] ?? [])
  .filter((name) => existsSync(fixture(`${name}.expected.safetensors`)))

const numbers = (value: Parameters<typeof readTensor>[0]) => {
  const array = readTensor(value)
  return [...(array.dtype === 'f16' ? array.cast('f32') : array).data]
}

test.each(good)('%s holds what PyTorch reads from it', (name) => {
  const expected = openSafetensors(fixture(`${name}.expected.safetensors`)).tensors
  const { tensors } = openTorchFile(fixture(`${name}.pt`))
  expect([...tensors.keys()].sort()).toEqual([...expected.keys()].sort())
  for (const [key, tensor] of tensors) {
    const want = expected.get(key)!
    expect([tensor.dtype, [...tensor.shape]], key).toEqual([want.dtype, [...want.shape]])
    expect(numbers(tensor), key).toEqual(numbers(want))
  }
})

test('tensors that lie in their order stay in the file, so that weights can be mapped', () => {
  for (const name of ['views', 'views-legacy']) {
    const { tensors } = openTorchFile(fixture(`${name}.pt`))
    const inFile = [...tensors].filter(([, tensor]) => 'file' in tensor).map(([key]) => key)
    expect(inFile.sort(), name).toEqual(['rows', 'whole'])
  }
})

test('the texts and numbers beside a state dict are kept, and nothing of the rest', () => {
  expect(openTorchFile(fixture('inversion-a1111.pt')).metadata).toMatchObject({ name: 'my-cat', step: '500' })
  expect(openTorchFile(fixture('module.pt')).metadata).toEqual({ epoch: '3' })
})

test.each([
  ['evil', /posix\.system, which no state dict needs/],
  ['evil-legacy', /posix\.system, which no state dict needs/],
  ['namespace', /argparse\.Namespace/],
  ['whole-module', /torch\.nn\.modules\.container\.Sequential/],
  ['no-tensors', /holds no tensors/],
  ['tensor-alone', /holds no dict/],
])('%s is refused by name, and nothing of it runs', (name, message) => {
  const error = errorOf(() => openTorchFile(fixture(`${name}.pt`)))
  expect(error).toBeInstanceOf(PickleError)
  expect(error).toMatchObject({ file: fixture(`${name}.pt`), message: expect.stringMatching(message) })
  expect(existsSync('/tmp/langevin-pickle-ran')).toBe(false)
})

/** A file of the old form whose object is the given opcodes. */
const legacy = (object: Uint8Array): Uint8Array => {
  const whole = readFileSync(fixture('inversion-legacy.pt'))
  const start = whole.indexOf(Buffer.from([0x80, 2, 0x7d, 0x71, 0, 0x58, 8, 0, 0, 0])) // {'<my-dog>': …
  return Buffer.concat([whole.subarray(0, start), object, Buffer.from([0x80, 2, 0x5d, 0x2e])])
}

test.each<[string, string, RegExp]>([
  ['a file called in the old way', '(i', /opcode INST/],
  ['an opcode of nobody', '\xff', /opcode 0xff/],
  ['an extension', '\x82\x01', /EXT1/],
  ['a text reference', 'Pxx\n', /PERSID/],
  ['a name by the stack', '\x8c\x02os\x8c\x06system\x93.', /os\.system/],
  ['eval', 'cbuiltins\neval\n', /builtins\.eval/],
  ['a getattr', 'cbuiltins\ngetattr\n', /builtins\.getattr/],
  ['a prototype', 'ctorch\nconstructor\n', /torch\.constructor/],
  ['a storage of a prototype', 'ctorch\n__proto__Storage\n', /__proto__Storage/],
  ['a call of a number', 'K\x01)R', /calls what is no name/],
  ['an empty stack', '.', /stack is empty/],
  ['nothing remembered', 'h\x07.', /nothing was remembered as 7/],
  ['a text beyond the end', 'X\xff\xff\xff\x7f', /ends at byte/],
  ['a list within itself', '}X\x01\x00\x00\x00a]q\x01h\x01as.', /8 deep/],
  ['items for no dict', ']K\x01K\x02s', /no dict/],
])('opcodes: %s', (_, object, message) => {
  const path = join(temporaryFolder(), 'a.pt')
  writeFileSync(path, legacy(Buffer.from(`\x80\x02${object}`, 'latin1')))
  expect(errorOf(() => openTorchFile(path))).toMatchObject({ name: 'PickleError', message: expect.stringMatching(message) })
})

test('lists that hold each other many times over are refused before they are walked', () => {
  // A list of 40 numbers, in a list of it 40 times over, and so on six times: 40^7 values from 600 bytes.
  let object = `}X\x01\x00\x00\x00a(${'K\x01'.repeat(40)}l`
  for (let i = 0; i < 6; i++) object += `q${String.fromCharCode(i)}0(${`h${String.fromCharCode(i)}`.repeat(40)}l`
  const path = join(temporaryFolder(), 'a.pt')
  writeFileSync(path, legacy(Buffer.from(`\x80\x02${object}s.`, 'latin1')))
  expect(() => openTorchFile(path)).toThrow(/more than 1000000 values/)
})

describe('damaged files', () => {
  const files = readdirSync(folder).filter((name) => name.endsWith('.pt') && !name.startsWith('evil'))
  const read = (path: string) => {
    for (const tensor of openTorchFile(path).tensors.values()) {
      if (sizeOf(tensor.shape) <= 2 ** 20) readTensor(tensor).data
    }
  }
  const holds = (path: string, what: string) => {
    try {
      read(path)
    } catch (error) {
      if (!(error instanceof LangevinError)) throw new Error(`${what}: ${(error as Error).stack}`)
    }
  }

  test('bytes changed anywhere (20,000 such files were tried once) give the tensors or a clear error', () => {
    const path = join(temporaryFolder(), 'a.pt')
    const change = fc.record({
      file: fc.constantFrom(...files),
      changes: fc.array(fc.tuple(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), fc.nat(255)), {
        minLength: 1,
        maxLength: 4,
      }),
    })
    fc.assert(
      fc.property(change, ({ file, changes }) => {
        const bytes = readFileSync(fixture(file))
        for (const [at, byte] of changes) bytes[Math.floor(at * bytes.length)] = byte
        writeFileSync(path, bytes)
        holds(path, file)
      }),
      { seed: 3, numRuns: 400 },
    )
  })

  test('bytes of a small file set to a few values, and lengths that it can be cut to', () => {
    const path = join(temporaryFolder(), 'a.pt')
    for (const [file, step] of [
      ['inversion-legacy.pt', 3],
      ['inversion-diffusers.pt', 19],
    ] as const) {
      const whole = readFileSync(fixture(file))
      for (let i = 0; i < whole.length; i += step) {
        for (const value of [0, 0xff, (whole[i] as number) ^ 1]) {
          const bytes = Buffer.from(whole)
          bytes[i] = value
          writeFileSync(path, bytes)
          holds(path, `${file} byte ${i} = ${value}`)
        }
        writeFileSync(path, whole.subarray(0, i))
        expect(() => openTorchFile(path), `${file} cut to ${i}`).toThrow(LangevinError)
      }
    }
  })
})

test('a shape beyond its storage is refused, and one far larger than it too', () => {
  const path = join(temporaryFolder(), 'a.pt')
  const whole = readFileSync(fixture('inversion-legacy.pt'))
  const shape = whole.indexOf(Buffer.from([0x4b, 16, 0x85])) // K 16 TUPLE1
  expect(shape).toBeGreaterThan(0)
  whole[shape + 1] = 17
  writeFileSync(path, whole)
  expect(() => openTorchFile(path)).toThrow(/\[17\] with strides \[1\] from element 0 lies beyond its storage/)
})

test('openWeights takes a file of PyTorch’s, and a folder that has only them', () => {
  const expected = [...openTorchFile(fixture('protocol4.pt')).tensors.keys()]
  expect([...openWeights(fixture('protocol4.pt')).keys()]).toEqual(expected)
  for (const name of ['diffusion_pytorch_model.bin', 'pytorch_model.bin', 'diffusion_pytorch_model.fp16.bin']) {
    const dir = temporaryFolder()
    copyFileSync(fixture('protocol4.pt'), join(dir, name))
    expect([...openWeights(dir, { variant: 'fp16' }).keys()]).toEqual(expected)
  }
  const sharded = temporaryFolder()
  mkdirSync(sharded, { recursive: true })
  copyFileSync(fixture('protocol4.pt'), join(sharded, 'one.bin'))
  const map = Object.fromEntries(expected.map((key) => [key, 'one.bin']))
  writeFileSync(join(sharded, 'pytorch_model.bin.index.json'), JSON.stringify({ weight_map: map }))
  expect([...openWeights(sharded).keys()]).toEqual(expected)
})

test('a file is opened by what it holds, whatever its name', () => {
  const dir = temporaryFolder()
  copyFileSync(fixture('protocol4.pt'), join(dir, 'a.safetensors'))
  copyFileSync(fixture('types.safetensors'), join(dir, 'b.ckpt'))
  expect(openWeightFile(join(dir, 'a.safetensors')).tensors.size).toBe(3)
  expect(openWeightFile(join(dir, 'b.ckpt')).tensors.size).toBe(9)
  writeFileSync(join(dir, 'c.ckpt'), 'version https://git-lfs.github.com/spec/v1\n')
  expect(() => openWeightFile(join(dir, 'c.ckpt'))).toThrow(/Git LFS pointer/)
})

test('weights of such a file are held against its stamp', () => {
  const path = join(temporaryFolder(), 'a.pt')
  copyFileSync(fixture('views.pt'), path)
  const { tensors } = openTorchFile(path)
  copyFileSync(fixture('dtypes.pt'), path)
  for (const key of ['whole', 'transposed']) expect(() => readTensor(tensors.get(key)!).data).toThrow(StaleFileError)
})

test('dicts in dicts have the keys that the same weights have as safetensors, as an IP-Adapter’s .bin', () => {
  expect([...openWeightFile(fixture('nested.pt')).tensors.keys()].sort()).toEqual([
    'image_proj.proj.weight',
    'ip_adapter.1.to_k_ip.weight',
  ])
})
