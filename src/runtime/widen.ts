import { convert, type DType, fromBfloatBits, fromHalfBits, type TypedArray } from '../core/dtype.ts'

const tables = new Map<DType, Float32Array>()

/** Elements of any type as f32; those of 16 bits by a table of all of them, into the memory that `room` gives for so many. */
export function widened(
  dtype: DType,
  data: TypedArray,
  room: (length: number) => Float32Array = (length) => new Float32Array(length),
): Float32Array {
  if (data instanceof Float32Array) return data
  if (dtype !== 'f16' && dtype !== 'bf16') return convert(dtype, data, 'f32')
  const read = dtype === 'f16' ? fromHalfBits : fromBfloatBits
  const table = tables.get(dtype) ?? Float32Array.from({ length: 2 ** 16 }, (_, bits) => read(bits))
  tables.set(dtype, table)
  const out = room(data.length)
  for (let i = 0; i < out.length; i++) out[i] = table[data[i] as number] as number
  return out
}
