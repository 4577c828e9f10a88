import { ArgumentError, DTypeError } from './errors.ts'

/** Element types, named as safetensors and the field name them. `bf16` is storage only: cast it before arithmetic. */
export type DType = 'f32' | 'f16' | 'bf16' | 'i32' | 'i64' | 'bool' | 'u8'

/** The typed array that holds a dtype's elements: f16 and bf16 as raw bits, bool as 0 and 1. */
export interface ArrayOf {
  f32: Float32Array
  f16: Uint16Array
  bf16: Uint16Array
  i32: Int32Array
  i64: BigInt64Array
  bool: Uint8Array
  u8: Uint8Array
}
export type TypedArray = ArrayOf[DType]

const arrays = {
  f32: Float32Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  i32: Int32Array,
  i64: BigInt64Array,
  bool: Uint8Array,
  u8: Uint8Array,
}

/** Bytes that one element takes. */
export const bytesPer: Record<DType, number> = { f32: 4, f16: 2, bf16: 2, i32: 4, i64: 8, bool: 1, u8: 1 }

/** Least and greatest value of the integer dtypes. */
const ranges: Partial<Record<DType, readonly [number, number]>> = {
  i32: [-(2 ** 31), 2 ** 31 - 1],
  // The doubles next to the ends: 2⁶³ itself does not fit.
  i64: [-(2 ** 63), 2 ** 63 - 1024],
  bool: [0, 1],
  u8: [0, 255],
}

/** @throws DTypeError where a number is no element of an integer dtype: it would wrap round */
export function checkElement(place: string, value: number, dtype: DType): void {
  const range = ranges[dtype]
  if (!range || (Number.isInteger(value) && value >= range[0] && value <= range[1])) return
  throw new DTypeError(
    `${place}: ${value} is no ${dtype} (integers from ${range[0]} to ${range[1]}); cast the tensor to f32 first`,
  )
}

/** Whether an array is the one that holds a dtype's elements. */
export const holds = (data: TypedArray, dtype: DType): boolean => data instanceof arrays[dtype]

export const isFloat = (dtype: DType): boolean => dtype === 'f32' || dtype === 'f16' || dtype === 'bf16'

/** A zeroed array for `size` elements. */
export function allocate<D extends DType>(dtype: D, size: number): ArrayOf[D] {
  return new arrays[dtype](size) as ArrayOf[D]
}

/** `size` elements read in place from a buffer; the offset must be a multiple of the element's size. */
export function viewOf<D extends DType>(dtype: D, buffer: ArrayBufferLike, byteOffset: number, size: number): ArrayOf[D] {
  return new arrays[dtype](buffer as ArrayBuffer, byteOffset, size) as ArrayOf[D]
}

/**
 * Numbers as elements of a dtype; integers are exact in integer dtypes.
 * @throws DTypeError for a number that an integer dtype does not hold
 */
export function elements<D extends DType>(values: readonly number[], dtype: D): ArrayOf[D] {
  const out = allocate(dtype, values.length)
  for (const [i, value] of values.entries()) {
    checkElement('elements', value, dtype)
    if (dtype === 'f16') out[i] = toHalfBits(value)
    else if (dtype === 'bf16') out[i] = toBfloatBits(value)
    else if (out instanceof BigInt64Array) out[i] = BigInt(value)
    else out[i] = value
  }
  return out
}

const f32 = new Float32Array(1)
const u32 = new Uint32Array(f32.buffer)

/** Number → IEEE half bits, round to nearest even. */
export function toHalfBits(value: number): number {
  f32[0] = value
  const x = u32[0] as number
  const sign = (x >>> 16) & 0x8000
  const abs = x & 0x7fffffff
  if (abs > 0x7f800000) return sign | 0x7e00
  if (abs >= 0x477ff000) return sign | 0x7c00
  if (abs < 0x33000001) return sign
  if (abs < 0x38800000) {
    const shift = 126 - (abs >>> 23)
    const mantissa = (abs & 0x7fffff) | 0x800000
    const half = mantissa >>> shift
    const rest = mantissa & ((1 << shift) - 1)
    const tie = 1 << (shift - 1)
    return sign | (half + (rest > tie || (rest === tie && half & 1) ? 1 : 0))
  }
  return sign | ((abs + 0xfff + ((abs >>> 13) & 1) - 0x38000000) >>> 13)
}

/** IEEE half bits → number. */
export function fromHalfBits(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >>> 10) & 31
  const mantissa = bits & 1023
  if (exponent === 0) return sign * mantissa * 2 ** -24
  if (exponent === 31) return mantissa ? NaN : sign * Infinity
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15)
}

/** Number → bfloat16 bits, round to nearest even. */
export function toBfloatBits(value: number): number {
  f32[0] = value
  const x = u32[0] as number
  if ((x & 0x7fffffff) > 0x7f800000) return (x >>> 16) | 0x40
  return ((x + 0x7fff + ((x >>> 16) & 1)) >>> 16) & 0xffff
}

/** bfloat16 bits → number. */
export function fromBfloatBits(bits: number): number {
  u32[0] = bits << 16
  return f32[0] as number
}

/** Any array's elements as new elements of another dtype. Integers out of range wrap round, as in PyTorch. */
export function convert<D extends DType>(from: DType, data: TypedArray, to: D): ArrayOf[D] {
  if (from === to) return data.slice() as ArrayOf[D]
  const read: (i: number) => number =
    from === 'f16'
      ? (i) => fromHalfBits(data[i] as number)
      : from === 'bf16'
        ? (i) => fromBfloatBits(data[i] as number)
        : (i) => Number(data[i])
  const out = allocate(to, data.length)
  for (let i = 0; i < data.length; i++) {
    const value = read(i)
    if (to === 'i64') {
      if (!Number.isFinite(value))
        throw new ArgumentError(`cast of ${from} to i64: element ${i} is ${value}, which is no integer`)
      ;(out as BigInt64Array)[i] = BigInt(Math.trunc(value))
    } else if (to === 'f16') out[i] = toHalfBits(value)
    else if (to === 'bf16') out[i] = toBfloatBits(value)
    else if (to === 'bool') out[i] = value === 0 ? 0 : 1
    else out[i] = value
  }
  return out
}
