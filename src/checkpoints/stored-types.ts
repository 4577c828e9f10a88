import { bytesPer, type DType } from '../core/dtype.ts'
import { LangevinError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'

/** The format's names of our dtypes. */
export const formatNames = { f32: 'F32', f16: 'F16', bf16: 'BF16', i32: 'I32', i64: 'I64', bool: 'BOOL', u8: 'U8' } as const

/** How a file stores elements: the dtype that they have here, and for those that no array has, how they become one. */
export interface StoredType {
  readonly name: string
  readonly bits: number
  readonly dtype: DType
  /** Bytes, little-endian, to elements of `dtype`; undefined for our own dtypes, `null` for a type that cannot be read. */
  readonly decode: ((bytes: DataView, size: number) => NdArray['data']) | null | undefined
}

const own = Object.entries(formatNames).map(([dtype, name]): StoredType => {
  return { name, bits: 8 * bytesPer[dtype as DType], dtype: dtype as DType, decode: undefined }
})

const numbers = (make: (size: number) => NdArray['data'], read: (bytes: DataView, i: number) => number) => {
  return (bytes: DataView, size: number) => {
    const out = make(size)
    for (let i = 0; i < size; i++) out[i] = read(bytes, i)
    return out
  }
}
const f32 = (size: number) => new Float32Array(size)
const i32 = (size: number) => new Int32Array(size)
const half = (size: number) => new Uint16Array(size)

const longs = (read: (bytes: DataView, i: number) => bigint) => (bytes: DataView, size: number) =>
  BigInt64Array.from({ length: size }, (_, i) => {
    const value = read(bytes, i)
    if (value > 0x7fff_ffff_ffff_ffffn) throw new LangevinError(`element ${i} is ${value}, beyond the largest i64`)
    return value
  })

/**
 * float8_e4m3fn: 4 bits of exponent with bias 7, 3 of mantissa, no infinity, NaN where all are set. Each of its numbers is a half:
 * the fields move up by 7 bits and 2^8 makes up for the biases, 15 and 7.
 */
const e4m3 = Uint16Array.from({ length: 256 }, (_, byte) => {
  const sign = (byte & 0x80) << 8
  if ((byte & 0x7f) === 0x7f) return sign | 0x7e00
  const exponent = (byte >> 3) & 15
  const mantissa = byte & 7
  if (exponent > 0) return sign | ((exponent + 8) << 10) | (mantissa << 7)
  if (mantissa === 0) return sign
  const top = 31 - Math.clz32(mantissa)
  return sign | ((top + 6) << 10) | ((mantissa << (10 - top)) & 0x3ff)
})

const foreign: readonly StoredType[] = [
  { name: 'F64', bits: 64, dtype: 'f32', decode: numbers(f32, (bytes, i) => bytes.getFloat64(8 * i, true)) },
  { name: 'I16', bits: 16, dtype: 'i32', decode: numbers(i32, (bytes, i) => bytes.getInt16(2 * i, true)) },
  { name: 'U16', bits: 16, dtype: 'i32', decode: numbers(i32, (bytes, i) => bytes.getUint16(2 * i, true)) },
  { name: 'I8', bits: 8, dtype: 'i32', decode: numbers(i32, (bytes, i) => bytes.getInt8(i)) },
  { name: 'U32', bits: 32, dtype: 'i64', decode: longs((bytes, i) => BigInt(bytes.getUint32(4 * i, true))) },
  { name: 'U64', bits: 64, dtype: 'i64', decode: longs((bytes, i) => bytes.getBigUint64(8 * i, true)) },
  { name: 'F8_E4M3', bits: 8, dtype: 'f16', decode: numbers(half, (bytes, i) => e4m3[bytes.getUint8(i)] as number) },
  // float8_e5m2 is the upper byte of a half.
  { name: 'F8_E5M2', bits: 8, dtype: 'f16', decode: numbers(half, (bytes, i) => bytes.getUint8(i) << 8) },
  { name: 'F8_E8M0', bits: 8, dtype: 'f32', decode: null },
  { name: 'F8_E4M3FNUZ', bits: 8, dtype: 'f32', decode: null },
  { name: 'F8_E5M2FNUZ', bits: 8, dtype: 'f32', decode: null },
  { name: 'F6_E2M3', bits: 6, dtype: 'f32', decode: null },
  { name: 'F6_E3M2', bits: 6, dtype: 'f32', decode: null },
  { name: 'F4', bits: 4, dtype: 'f32', decode: null },
  { name: 'C64', bits: 64, dtype: 'f32', decode: null },
]

/** Every type that a file may store, by the format's name. */
export const storedTypes: ReadonlyMap<string, StoredType> = new Map([...own, ...foreign].map((type) => [type.name, type]))

/** Names of the types whose elements can be read. */
export const readable: readonly string[] = [...storedTypes.values()].flatMap(({ name, decode }) =>
  decode === null ? [] : [name],
)

/**
 * An array whose elements are read when they are first asked for, and kept then. To all that look at it, it is any other array: so a
 * tensor that nothing uses costs and refuses nothing.
 */
export function lazyArray(dtype: DType, shape: readonly number[], read: () => NdArray['data']): NdArray {
  let data: NdArray['data'] | undefined
  return Object.create(NdArray.prototype, {
    data: {
      enumerable: true,
      get: () => {
        data ??= read()
        return data
      },
    },
    shape: { enumerable: true, value: shape },
    dtype: { enumerable: true, value: dtype },
  })
}
