import { type ArrayOf, allocate, convert, type DType } from '../core/dtype.ts'
import { ArgumentError, DTypeError, ShapeError } from '../core/errors.ts'
import { broadcastShapes, checkShape, sameShape, sizeOf } from '../core/shape.ts'
import * as loops from './array-loops.ts'
import { axisOf, checkOrder, joinedShape, type Over, reductionOf, reshaped } from './array-shapes.ts'
import { type BinaryOp, broadcastInto, stridesOf } from './broadcast.ts'
import { flatten, type Nested, nest } from './nested.ts'

export type { Over } from './array-shapes.ts'
export type { Nested } from './nested.ts'

/**
 * A host array: a typed array with a shape, row-major. Operations give new arrays and never write to their operands.
 * Arithmetic is float32, rounded after every operation as PyTorch rounds it on the CPU; sums accumulate in float64.
 * Arithmetic on another dtype is a DTypeError: cast first. Shapes broadcast as in NumPy, or give a ShapeError.
 */
export class NdArray<D extends DType = DType> {
  readonly data: ArrayOf[D]
  readonly shape: readonly number[]
  readonly dtype: D

  constructor(data: ArrayOf[D], shape: readonly number[], dtype: D) {
    checkShape('NdArray', shape)
    const size = sizeOf(shape)
    if (data.length !== size) throw new ShapeError(`NdArray: ${data.length} elements cannot have shape [${shape.join(', ')}]`)
    this.data = data
    this.shape = shape
    this.dtype = dtype
  }

  static zeros(shape: readonly number[]): NdArray<'f32'>
  static zeros<D extends DType>(shape: readonly number[], dtype: D): NdArray<D>
  static zeros(shape: readonly number[], dtype: DType = 'f32'): NdArray {
    checkShape('NdArray.zeros', shape)
    return new NdArray(allocate(dtype, sizeOf(shape)), shape, dtype)
  }

  static full(shape: readonly number[], value: number): NdArray<'f32'> {
    checkShape('NdArray.full', shape)
    return new NdArray(new Float32Array(sizeOf(shape)).fill(value), shape, 'f32')
  }

  /** A float32 array from numbers (with a shape) or from nested lists (whose shape it takes; ragged lists are a ShapeError). */
  static from(values: Nested | ArrayLike<number>, shape?: readonly number[]): NdArray<'f32'> {
    if (shape) return new NdArray(Float32Array.from(values as ArrayLike<number>), shape, 'f32')
    if (ArrayBuffer.isView(values)) return NdArray.from(values, [(values as Float32Array).length])
    const { numbers, shape: found } = flatten(values as Nested)
    return new NdArray(Float32Array.from(numbers), found, 'f32')
  }

  /** Joins arrays along an existing axis. */
  static concat<D extends DType>(arrays: readonly NdArray<D>[], axis = 0): NdArray<D> {
    const first = arrays[0]
    if (!first) throw new ArgumentError('NdArray.concat: no arrays')
    const at = axisOf(first.shape, axis, 'concat')
    const other = arrays.find(({ dtype }) => dtype !== first.dtype)
    if (other) throw new DTypeError(`NdArray.concat: ${first.dtype} and ${other.dtype}`)
    const joined = joinedShape(
      arrays.map(({ shape }) => shape),
      at,
    )
    const out = NdArray.zeros(joined, first.dtype)
    loops.joinInto(
      out.data,
      arrays.map(({ data }) => data),
      sizeOf(first.shape.slice(0, at)),
    )
    return out
  }

  /** Joins arrays of one shape along a new axis. */
  static stack<D extends DType>(arrays: readonly NdArray<D>[], axis = 0): NdArray<D> {
    return NdArray.concat(
      arrays.map((a) => a.reshape(a.shape.toSpliced(axis < 0 ? a.shape.length + 1 + axis : axis, 0, 1))),
      axis,
    )
  }

  get size(): number {
    return this.data.length
  }

  cast<T extends DType>(dtype: T): NdArray<T> {
    return new NdArray(convert(this.dtype, this.data, dtype), this.shape, dtype)
  }

  // Arithmetic

  add(other: NdArray | number): NdArray<'f32'> {
    return this.binary('add', other)
  }
  sub(other: NdArray | number): NdArray<'f32'> {
    return this.binary('sub', other)
  }
  mul(other: NdArray | number): NdArray<'f32'> {
    return this.binary('mul', other)
  }
  div(other: NdArray | number): NdArray<'f32'> {
    return this.binary('div', other)
  }
  maximum(other: NdArray | number): NdArray<'f32'> {
    return this.binary('maximum', other)
  }
  minimum(other: NdArray | number): NdArray<'f32'> {
    return this.binary('minimum', other)
  }
  /** this where the mask is not 0, else the other. */
  where(mask: NdArray, other: NdArray | number): NdArray<'f32'> {
    const shape = broadcastShapes(this.shape, mask.shape, 'where')
    const [a, m] = [this.expand(shape), mask.expand(shape)]
    const b = typeof other === 'number' ? NdArray.full(shape, other) : other.expand(shape)
    const [x, y] = [a.floats('where'), b.floats('where')]
    return new NdArray(
      x.map((v, i) => (m.data[i] ? v : (y[i] as number))),
      shape,
      'f32',
    )
  }

  neg(): NdArray<'f32'> {
    return this.mul(-1)
  }
  square(): NdArray<'f32'> {
    return this.mul(this)
  }
  sqrt(): NdArray<'f32'> {
    return this.map(Math.sqrt)
  }
  exp(): NdArray<'f32'> {
    return this.map(Math.exp)
  }
  log(): NdArray<'f32'> {
    return this.map(Math.log)
  }
  abs(): NdArray<'f32'> {
    return this.map(Math.abs)
  }
  tanh(): NdArray<'f32'> {
    return this.map(Math.tanh)
  }
  clamp(low: number, high: number): NdArray<'f32'> {
    return this.maximum(low).minimum(high)
  }

  /** A function of each element and of its flat index, rounded to float32. */
  map(f: (value: number, index: number) => number): NdArray<'f32'> {
    const x = this.floats('map')
    const out = new Float32Array(x.length)
    for (let i = 0; i < x.length; i++) out[i] = f(x[i] as number, i)
    return new NdArray(out, this.shape, 'f32')
  }

  // Shape

  /** The same elements in another shape; one axis may be −1. The data is shared. */
  reshape(shape: readonly number[]): NdArray<D> {
    return new NdArray(this.data, reshaped(this.shape, shape), this.dtype)
  }

  /** Repeats axes of length 1 up to a broadcast shape. */
  expand(shape: readonly number[]): NdArray<D> {
    if (shape.length === this.shape.length && shape.every((n, i) => n === this.shape[i])) return this
    checkShape('expand', shape)
    if (!sameShape(broadcastShapes(this.shape, shape, 'expand'), shape))
      throw new ShapeError(`expand: [${this.shape.join(', ')}] does not fit [${shape.join(', ')}]`)
    const strides = stridesOf(this.shape).map((s, i) => (this.shape[i] === 1 ? 0 : s))
    return this.gather(shape, [...new Array(shape.length - strides.length).fill(0), ...strides])
  }

  /** Axes in a new order. */
  permute(order: readonly number[]): NdArray<D> {
    checkOrder(this.shape, order)
    const strides = stridesOf(this.shape)
    return this.gather(
      order.map((i) => this.shape[i] as number),
      order.map((i) => strides[i] as number),
    )
  }

  /** Two axes exchanged; the last two when none are named. */
  transpose(a = -2, b = -1): NdArray<D> {
    const [i, j] = [axisOf(this.shape, a, 'transpose'), axisOf(this.shape, b, 'transpose')]
    return this.permute(this.shape.map((_, k) => (k === i ? j : k === j ? i : k)))
  }

  /** Elements [start, end) of an axis; negative bounds count from its end. */
  slice(axis: number, start: number, end?: number): NdArray<D> {
    const at = axisOf(this.shape, axis, 'slice')
    const length = this.shape[at] as number
    const clip = (i: number) => Math.min(length, Math.max(0, i < 0 ? length + i : i))
    const [from, to] = [clip(start), Math.max(clip(start), clip(end ?? length))]
    const inner = sizeOf(this.shape.slice(at + 1))
    const out = NdArray.zeros(this.shape.with(at, to - from), this.dtype)
    loops.cutInto(out.data, this.data, { row: length * inner, from: from * inner, run: (to - from) * inner })
    return out
  }

  /** Row `i` of the first axis, which goes away. */
  row(i: number): NdArray<D> {
    if (!(i >= 0 && i < (this.shape[0] ?? 0))) throw new ShapeError(`row: no row ${i} in shape [${this.shape.join(', ')}]`)
    return this.slice(0, i, i + 1).reshape(this.shape.slice(1))
  }

  // Reductions

  sum(over?: Over): NdArray<'f32'> {
    return this.reduce('sum', over, loops.sum)
  }
  mean(over?: Over): NdArray<'f32'> {
    return this.reduce('mean', over, (x, from, n) => loops.sum(x, from, n) / n)
  }
  /** Standard deviation with n − 1 below, as PyTorch's default; `correction: 0` divides by n. */
  std({ correction = 1, ...over }: Over & { correction?: number } = {}): NdArray<'f32'> {
    return this.reduce('std', over, loops.deviation(correction))
  }
  max(over?: Over): NdArray<'f32'> {
    return this.reduce('max', over, loops.largest)
  }
  min(over?: Over): NdArray<'f32'> {
    return this.neg().max(over).neg()
  }
  /** The q-th quantile with linear interpolation, 0 ≤ q ≤ 1. */
  quantile(q: number, over?: Over): NdArray<'f32'> {
    if (!(q >= 0 && q <= 1)) throw new ArgumentError(`quantile: expected 0 ≤ q ≤ 1, got ${q}`)
    return this.reduce('quantile', over, loops.quantile(q))
  }
  /** Euclidean norm. */
  norm(over?: Over): NdArray<'f32'> {
    return this.reduce('norm', over, loops.length)
  }

  /** Sum of products of all elements, in float64. */
  dot(other: NdArray): number {
    const [x, y] = [this.floats('dot'), other.floats('dot')]
    if (x.length !== y.length)
      throw new ShapeError(`dot: [${this.shape.join(', ')}] and [${other.shape.join(', ')}] differ in size`)
    let total = 0
    for (let i = 0; i < x.length; i++) total += (x[i] as number) * (y[i] as number)
    return total
  }

  /** [n, k] · [k, m] → [n, m]; small matrices only. */
  matmul(other: NdArray): NdArray<'f32'> {
    const [[n, k], [k2, m]] = [this.shape as [number, number], other.shape as [number, number]]
    if (this.shape.length !== 2 || other.shape.length !== 2 || k !== k2)
      throw new ShapeError(`matmul: [${this.shape.join(', ')}] and [${other.shape.join(', ')}]`)
    const [a, b] = [this.floats('matmul'), other.floats('matmul')]
    return new NdArray(loops.product(a, b, [n, k, m]), [n, m], 'f32')
  }

  // Reading

  /** No NaN and no infinity. */
  allFinite(): boolean {
    const x = this.floats('allFinite')
    for (let i = 0; i < x.length; i++) if (!Number.isFinite(x[i] as number)) return false
    return true
  }

  /** The only element, as a number. */
  item(): number {
    if (this.size !== 1) throw new ShapeError(`item: shape [${this.shape.join(', ')}] has ${this.size} elements`)
    return this.cast('f32').data[0] as number
  }

  toNested(): Nested {
    return nest(this.dtype === 'f16' || this.dtype === 'bf16' ? this.cast('f32').data : this.data, this.shape)
  }

  private floats(op: string): Float32Array {
    if (this.dtype !== 'f32') throw new DTypeError(`${op}: expected f32, got ${this.dtype}; cast('f32') first`)
    return this.data as Float32Array
  }

  private binary(op: BinaryOp, other: NdArray | number): NdArray<'f32'> {
    const x = this.floats(op)
    const y = typeof other === 'number' ? Float32Array.of(other) : other.floats(op)
    const yShape = typeof other === 'number' ? [] : other.shape
    const shape = broadcastShapes(this.shape, yShape, op)
    const out = new Float32Array(sizeOf(shape))
    broadcastInto(op, out, shape, x, this.shape, y, yShape)
    return new NdArray(out, shape, 'f32')
  }

  /** Copies elements out by strides. */
  private gather(shape: readonly number[], strides: readonly number[]): NdArray<D> {
    const out = NdArray.zeros(shape, this.dtype)
    loops.gatherInto(out.data, this.data, shape, strides)
    return out
  }

  private reduce(op: string, over: Over | undefined, f: loops.Reduction) {
    const { axes, order, inOrder, shape } = reductionOf(this.shape, over, op)
    const x = (inOrder ? this : this.permute(order)).floats(op)
    const out = new Float32Array(sizeOf(shape))
    const run = sizeOf(axes.map((i) => this.shape[i] as number))
    for (let i = 0; i < out.length; i++) out[i] = f(x, i * run, run)
    return new NdArray(out, shape, 'f32')
  }
}
