import { type ArrayOf, allocate, convert, type DType } from '../core/dtype.ts'
import { ShapeError } from '../core/errors.ts'

/** A host array: a typed array with a shape, row-major. Operations give new arrays. */
export class NdArray<D extends DType = DType> {
  readonly data: ArrayOf[D]
  readonly shape: readonly number[]
  readonly dtype: D

  constructor(data: ArrayOf[D], shape: readonly number[], dtype: D) {
    const size = shape.reduce((a, b) => a * b, 1)
    if (data.length !== size) throw new ShapeError(`NdArray: ${data.length} elements cannot have shape [${shape.join(', ')}]`)
    this.data = data
    this.shape = shape
    this.dtype = dtype
  }

  static zeros<D extends DType>(shape: readonly number[], dtype: D): NdArray<D> {
    return new NdArray(allocate(dtype, shape.reduce((a, b) => a * b, 1)), shape, dtype)
  }

  get size(): number {
    return this.data.length
  }

  cast<T extends DType>(dtype: T): NdArray<T> {
    return new NdArray(convert(this.dtype, this.data, dtype), this.shape, dtype)
  }
}
