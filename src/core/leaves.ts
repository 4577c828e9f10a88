import { bytesPer, checkElement, type DType, elements, holds, type TypedArray } from './dtype.ts'
import { ArgumentError, DTypeError, ShapeError } from './errors.ts'
import { type Op, Tensor } from './graph.ts'
import { checkShape, isCount, range, type Shape, showShape, sizeOf } from './shape.ts'

const leaf = <A extends { shape: Shape; dtype: DType }>(name: string): Op<A> => ({
  name,
  shape: (_, { shape, dtype }) => ({ shape, dtype }),
  lower: (b, _, node) => b.value(node),
  vjp: 'not differentiable',
})
const inputOp = leaf<{ shape: Shape; dtype: DType }>('input')
const parameterOp = leaf<{ shape: Shape; dtype: DType }>('parameter')
const constantOp: Op<{ shape: Shape; dtype: DType; data: TypedArray }> = {
  ...leaf('constant'),
  lower: (b, _, { attrs }) => b.constant(attrs.data, attrs.dtype, attrs.shape),
}

/** A value given at each run. */
export const input = (name: string, shape: Shape, dtype: DType = 'f32'): Tensor => named(inputOp, name, shape, dtype)

/** A trained value, known by its checkpoint's key. */
export const parameter = (name: string, shape: Shape, dtype: DType = 'f32'): Tensor => named(parameterOp, name, shape, dtype)

function named(op: typeof inputOp, name: string, shape: Shape, dtype: DType): Tensor {
  if (!name) throw new ArgumentError(`${op.name} of shape ${showShape(shape)} has no name`)
  checkShape(`${op.name} "${name}"`, shape)
  return new Tensor(op, [], { shape, dtype }, name)
}

export const isInput = (x: Tensor): boolean => x.op === inputOp
export const isParameter = (x: Tensor): boolean => x.op === parameterOp
export const isConstant = (x: Tensor): boolean => x.op === constantOp

/** Fixed values: a typed array, or numbers (f32 unless another dtype is given). */
export function constant(data: TypedArray | readonly number[], shape: Shape = [data.length], dtype?: DType): Tensor {
  checkShape('constant', shape)
  if (sizeOf(shape) !== data.length)
    throw new ShapeError(`constant: ${data.length} elements cannot have shape ${showShape(shape)}`)
  const type = dtype ?? dtypeOf(data)
  if (!ArrayBuffer.isView(data)) for (const value of data) checkElement('constant', value, type)
  else if (!holds(data, type)) throw new DTypeError(`constant: a ${data.constructor.name} does not hold elements of ${type}`)
  const array = ArrayBuffer.isView(data) ? data : elements(data, type)
  return new Tensor(constantOp, [], { shape, dtype: type, data: array })
}

function dtypeOf(data: TypedArray | readonly number[]): DType {
  if (data instanceof Uint16Array) throw new DTypeError('constant: say whether 16-bit elements are f16 or bf16')
  if (data instanceof Int32Array) return 'i32'
  if (data instanceof BigInt64Array) return 'i64'
  if (data instanceof Uint8Array) return 'u8'
  return 'f32'
}

/** A constant without axes. */
export function scalar(value: number, dtype: DType = 'f32'): Tensor {
  checkElement('scalar', value, dtype)
  return constant(elements([value], dtype), [], dtype)
}

export function full(shape: Shape, value: number, dtype: DType = 'f32'): Tensor {
  checkShape('full', shape)
  return scalar(value, dtype).expand(shape)
}
export const zeros = (shape: Shape, dtype: DType = 'f32'): Tensor => full(shape, 0, dtype)
export const ones = (shape: Shape, dtype: DType = 'f32'): Tensor => full(shape, 1, dtype)
/** 0, 1, …, n − 1. */
export function arange(n: number, dtype: DType = 'f32'): Tensor {
  if (!isCount(n) || n * bytesPer[dtype] >= 2 ** 32) throw new ArgumentError(`arange: ${n} is no count of elements`)
  if (n > 0) checkElement('arange', n - 1, dtype)
  return constant(elements(range(n), dtype), [n], dtype)
}
