import { bytesPer, type DType, type TypedArray } from '../dtype.ts'
import { ArgumentError } from '../errors.ts'
import { type SliceAttrs, slice } from '../ops/move.ts'
import { sameShape, showShape, sizeOf } from '../shape.ts'
import { isParameter, type Tensor } from '../tensor.ts'
import type { OnnxTensor } from './proto.ts'
import type { StoredValue } from './types.ts'

export type NamedValue = StoredValue & { readonly name: string }

/** The value of a parameter, or of a part of its rows, where it is stored. */
export function storedOf(x: Tensor, weights: ReadonlyMap<string, StoredValue>): NamedValue | undefined {
  if (x.op === slice) {
    const { axis, start, end, step } = x.attrs as SliceAttrs
    const whole = axis === 0 && step === 1 ? storedOf(x.inputs[0] as Tensor, weights) : undefined
    return whole && { ...rowsOf(whole, start, end), name: `${whole.name}[${start}:${end}]` }
  }
  const stored = isParameter(x) ? weights.get(x.name as string) : undefined
  if (!stored) return undefined
  if (!sameShape(stored.shape, x.shape))
    throw new ArgumentError(`${x.name}: expected ${showShape(x.shape)}, got ${showShape(stored.shape)}`)
  return { ...plain(stored), name: x.name as string }
}

/** What of it counts: an array's shape, type and data are getters in some classes. */
function plain(stored: StoredValue): StoredValue {
  const { dtype, shape } = stored
  if ('data' in stored) return { dtype, shape, data: stored.data }
  const { file, offset, stamp } = stored
  return { dtype, shape, file, offset, ...(stamp !== undefined && { stamp }) }
}

/** Rows of a stored value, from `start` to before `end`. */
function rowsOf(stored: StoredValue, start: number, end: number): StoredValue {
  const [, ...rest] = stored.shape
  const [shape, row] = [[end - start, ...rest], sizeOf(rest)]
  return 'data' in stored
    ? { dtype: stored.dtype, shape, data: stored.data.subarray(start * row, end * row) as TypedArray }
    : { ...stored, shape, offset: stored.offset + start * row * bytesPer[stored.dtype] }
}

export const bytesOfStored = ({ dtype, shape }: StoredValue): number => sizeOf(shape) * bytesPer[dtype]

export const isHalf = (dtype: DType): boolean => dtype === 'f16' || dtype === 'bf16'

/** An initializer's contents, in the model itself. */
export const embedded = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Pick<OnnxTensor, 'rawData'> => ({
  rawData: new Uint8Array(buffer, byteOffset, byteLength),
})

/** An initializer's contents, in a file beside the model, whose location is as ONNX Runtime takes it. */
export function external(location: string, offset: number, length: number): Partial<OnnxTensor> {
  // To ONNX Runtime a length of 0 in a file is the rest of the file.
  if (length === 0) return { rawData: new Uint8Array() }
  const entry = (key: string, value: string | number) => ({ key, value: String(value) })
  return { dataLocation: 1, externalData: [entry('location', location), entry('offset', offset), entry('length', length)] }
}
