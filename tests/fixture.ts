import { readFileSync } from 'node:fs'
import { type DType, viewOf } from '../src/core/dtype.ts'
import { sizeOf } from '../src/core/shape.ts'
import { NdArray } from '../src/runtime/ndarray.ts'

const dtypes: Record<string, DType> = { F32: 'f32', F16: 'f16', BF16: 'bf16', I32: 'i32', I64: 'i64', BOOL: 'bool', U8: 'u8' }

/** A fixture that a script in parity/ wrote: its tensors by name, and its metadata. */
export interface Fixture {
  readonly tensors: ReadonlyMap<string, NdArray>
  readonly metadata: Readonly<Record<string, string>>
}

/** Reads parity/fixtures/NAME.safetensors, trusting it: our own file, no checks. */
export function fixture(name: string): Fixture {
  const file = readFileSync(new URL(`../parity/fixtures/${name}.safetensors`, import.meta.url))
  const bytes = new Uint8Array(file).buffer
  const start = 8 + Number(new DataView(bytes).getBigUint64(0, true))
  const { __metadata__: metadata = {}, ...entries } = JSON.parse(file.toString('utf8', 8, start))
  const tensors = new Map<string, NdArray>()
  for (const [key, { dtype: kind, shape, data_offsets: offsets }] of Object.entries<Entry>(entries)) {
    const dtype = dtypes[kind] as DType
    const size = sizeOf(shape)
    const own = bytes.slice(start + offsets[0], start + offsets[1])
    tensors.set(key, new NdArray(viewOf(dtype, own, 0, size), shape, dtype))
  }
  return { tensors, metadata }
}

interface Entry {
  readonly dtype: string
  readonly shape: readonly number[]
  readonly data_offsets: readonly [number, number]
}

/** The float32 tensor of that name. */
export function tensorOf({ tensors }: Fixture, name: string): NdArray<'f32'> {
  const found = tensors.get(name)
  if (!found) throw new Error(`the fixture has no ${name}`)
  return found.cast('f32')
}

/** max |a − b| over whole arrays of one shape. */
export function maxDifference(a: NdArray, b: NdArray): number {
  if (a.shape.join() !== b.shape.join()) throw new Error(`shapes differ: [${a.shape}] and [${b.shape}]`)
  return a.cast('f32').sub(b.cast('f32')).abs().max().item()
}
