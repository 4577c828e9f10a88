import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { bytesPer, type DType } from '../core/dtype.ts'
import * as core from '../core/index.ts'
import { input, parameter } from '../core/index.ts'
import { EngineError } from './engine.ts'
import { channelBlock } from './layout-detection.ts'
import { NdArray } from './ndarray.ts'
import { evaluate } from './program.ts'
import { Generator } from './random.ts'
import type { FileTensor } from './weights.ts'

const folder = mkdtempSync(join(tmpdir(), 'langevin-engine-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Tensors one after another in a file, as in a safetensors file: nothing is aligned, and something stands before them. */
function store(path: string, arrays: Readonly<Record<string, NdArray>>, lead = 13): Map<string, FileTensor> {
  const parts: Uint8Array[] = [new Uint8Array(lead).fill(255)]
  const tensors = new Map<string, FileTensor>()
  let offset = lead
  for (const [name, { data, shape, dtype }] of Object.entries(arrays)) {
    parts.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), Uint8Array.of(170))
    tensors.set(name, { dtype, shape, file: path, offset })
    offset += data.byteLength + 1
  }
  writeFileSync(path, Buffer.concat(parts))
  return tensors
}

describe('weights in files', () => {
  const generator = new Generator(0)
  const x = generator.randn([2, 16, 5, 5])
  const shapes = { conv: [32, 16, 3, 3], bias: [32], linear: [7, 32], scale: [], none: [0, 4] } as const
  const values = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, generator.randn(shape).mul(0.1)]))

  function network() {
    const p = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, parameter(name, shape)]))
    const h = core.conv(input('x', x.shape), p.conv!, { padding: 1, bias: p.bias! })
    return core
      .linear(h.mean([2, 3]), p.linear!)
      .mul(p.scale!)
      .add(p.none!.sum())
  }

  async function error(weights: ReadonlyMap<string, NdArray | FileTensor>, expected: NdArray, prepack = true): Promise<number> {
    const { y } = await evaluate({ outputs: { y: network() }, weights }, { x }, { prepack })
    return y!.sub(expected).abs().max().item() / expected.abs().max().item()
  }

  test.each(['f32', 'f16', 'bf16'] as const)('%s, mapped at odd offsets, is cast in the graph', async (dtype) => {
    const cast = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value.cast(dtype)]))
    const exact = new Map(Object.entries(cast).map(([name, value]) => [name, value.cast('f32')]))
    const { y } = await evaluate({ outputs: { y: network() }, weights: exact }, { x })
    const mapped = store(join(folder, `${dtype}.safetensors`), cast)
    expect(await error(mapped, y!)).toBeLessThan(1e-6)
    expect(await error(mapped, y!, false)).toBeLessThan(1e-5)
    // Some in files, some in memory.
    expect(await error(new Map<string, NdArray | FileTensor>([...mapped, ['bias', exact.get('bias')!]]), y!)).toBeLessThan(1e-6)
  })

  test('in a folder reached by a link, with spaces and letters of any alphabet', async () => {
    const real = join(folder, 'blobs – Блоб')
    mkdirSync(real)
    const tensors = store(join(real, 'model file.safetensors'), values)
    symlinkSync(real, join(folder, 'snapshot'))
    symlinkSync(join(folder, 'snapshot', 'model file.safetensors'), join(folder, 'linked.safetensors'))
    const { y } = await evaluate({ outputs: { y: network() }, weights: new Map(Object.entries(values)) }, { x })
    const linked = [...tensors].map(([name, tensor]) => [name, { ...tensor, file: join(folder, 'linked.safetensors') }] as const)
    expect(await error(new Map(linked), y!)).toBeLessThan(1e-6)
  })

  test('whole numbers, bytes and truth values', async () => {
    const data: Record<string, NdArray> = {
      i64: new NdArray(BigInt64Array.of(2n ** 40n, -1n), [2], 'i64'),
      i32: new NdArray(Int32Array.of(7, -8), [2], 'i32'),
      u8: new NdArray(Uint8Array.of(250, 3), [2], 'u8'),
      bool: new NdArray(Uint8Array.of(1, 0), [2], 'bool'),
    }
    const weights = store(join(folder, 'whole.bin'), data)
    const outputs = Object.fromEntries(
      Object.entries(data).map(([name, { dtype }]) => [`${name} again`, parameter(name, [2], dtype)]),
    )
    const results = await evaluate({ outputs, weights })
    for (const [name, { data: expected }] of Object.entries(data)) expect(results[`${name} again`]?.data).toEqual(expected)
  })

  test('a file that is missing or too short', async () => {
    const y = parameter('w', [4]).mul(2)
    const weight = (file: string, dtype: DType = 'f32') => new Map([['w', { dtype, shape: [4], file, offset: bytesPer[dtype] }]])
    const missing = evaluate({ outputs: { y }, weights: weight(join(folder, 'absent')) })
    await expect(missing).rejects.toThrow(EngineError)
    await expect(missing).rejects.toThrow(/the weights' file .*absent cannot be opened/)
    const short = join(folder, 'short')
    writeFileSync(short, Buffer.alloc(12))
    await expect(evaluate({ outputs: { y }, weights: weight(short) })).rejects.toThrow(EngineError)
  })
})

test('the CPU’s block of channels is one that the kernels know', async () => {
  expect([0, 8, 16]).toContain(await channelBlock())
})
