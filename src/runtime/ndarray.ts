import { type ArrayOf, allocate, convert, type DType } from '../core/dtype.ts'
import { ArgumentError, DTypeError, ShapeError } from '../core/errors.ts'
import { broadcastShapes, checkShape, isShape, sameShape, sizeOf } from '../core/shape.ts'
import { deviation, gatherInto, largest, length, product, quantile, type Reduction, sum } from './array-loops.ts'
import { type BinaryOp, broadcastInto, stridesOf } from './broadcast.ts'

/** Nested lists of numbers, as deep as the array has axes. */
export type Nested = number | readonly Nested[]
/** Which axes a reduction runs over (all when absent) and whether they stay as 1. */
export interface Over {
  readonly axes?: readonly number[]
  readonly keep?: boolean
}

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
    const found: number[] = []
    for (let v = values as Nested; typeof v !== 'number'; v = v[0] as Nested) {
      found.push(v.length)
      if (v.length === 0) break
    }
    const flat = (v: Nested, depth: number): number[] => {
      if (typeof v === 'number' ? depth !== found.length : v.length !== found[depth])
        throw new ShapeError(`NdArray.from: ragged lists; expected shape [${found.join(', ')}] at depth ${depth}`)
      return typeof v === 'number' ? [v] : v.flatMap((w) => flat(w, depth + 1))
    }
    return new NdArray(Float32Array.from(flat(values as Nested, 0)), found, 'f32')
  }

  /** Joins arrays along an existing axis. */
  static concat<D extends DType>(arrays: readonly NdArray<D>[], axis = 0): NdArray<D> {
    const first = arrays[0]
    if (!first) throw new ArgumentError('NdArray.concat: no arrays')
    const at = first.axis(axis, 'concat')
    for (const { shape, dtype } of arrays) {
      if (dtype !== first.dtype) throw new DTypeError(`NdArray.concat: ${first.dtype} and ${dtype}`)
      if (shape.length !== first.shape.length || shape.some((n, i) => i !== at && n !== first.shape[i]))
        throw new ShapeError(`NdArray.concat on axis ${at}: [${first.shape.join(', ')}] and [${shape.join(', ')}]`)
    }
    const total = arrays.reduce((n, a) => n + (a.shape[at] as number), 0)
    const out = NdArray.zeros(first.shape.with(at, total), first.dtype)
    const outer = sizeOf(first.shape.slice(0, at))
    let offset = 0
    for (const array of arrays) {
      const run = array.size / outer
      for (let i = 0; i < outer; i++)
        out.data.set(array.data.subarray(i * run, (i + 1) * run) as never, offset + (i * out.size) / outer)
      offset += run
    }
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
    const free = shape.indexOf(-1)
    const full = free < 0 ? shape : shape.with(free, this.size / -sizeOf(shape))
    if (!isShape(full)) throw new ShapeError(`reshape: [${this.shape.join(', ')}] does not fit [${shape.join(', ')}]`)
    return new NdArray(this.data, full, this.dtype)
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
    const rank = this.shape.length
    if (order.length !== rank || new Set(order).size !== rank || order.some((i) => !(i in this.shape)))
      throw new ShapeError(`permute: [${order.join(', ')}] is no order of ${rank} axes`)
    const strides = stridesOf(this.shape)
    return this.gather(
      order.map((i) => this.shape[i] as number),
      order.map((i) => strides[i] as number),
    )
  }

  /** Two axes exchanged; the last two when none are named. */
  transpose(a = -2, b = -1): NdArray<D> {
    const [i, j] = [this.axis(a, 'transpose'), this.axis(b, 'transpose')]
    return this.permute(this.shape.map((_, k) => (k === i ? j : k === j ? i : k)))
  }

  /** Elements [start, end) of an axis; negative bounds count from its end. */
  slice(axis: number, start: number, end?: number): NdArray<D> {
    const at = this.axis(axis, 'slice')
    const length = this.shape[at] as number
    const clip = (i: number) => Math.min(length, Math.max(0, i < 0 ? length + i : i))
    const [from, to] = [clip(start), Math.max(clip(start), clip(end ?? length))]
    const inner = sizeOf(this.shape.slice(at + 1))
    const outer = sizeOf(this.shape.slice(0, at))
    const run = (to - from) * inner
    const out = NdArray.zeros(this.shape.with(at, to - from), this.dtype)
    for (let i = 0; i < outer; i++) {
      const begin = (i * length + from) * inner
      out.data.set(this.data.subarray(begin, begin + run) as never, i * run)
    }
    return out
  }

  /** Row `i` of the first axis, which goes away. */
  row(i: number): NdArray<D> {
    if (!(i >= 0 && i < (this.shape[0] ?? 0))) throw new ShapeError(`row: no row ${i} in shape [${this.shape.join(', ')}]`)
    return this.slice(0, i, i + 1).reshape(this.shape.slice(1))
  }

  // Reductions

  sum(over?: Over): NdArray<'f32'> {
    return this.reduce('sum', over, sum)
  }
  mean(over?: Over): NdArray<'f32'> {
    return this.reduce('mean', over, (x, from, n) => sum(x, from, n) / n)
  }
  /** Standard deviation with n − 1 below, as PyTorch's default; `correction: 0` divides by n. */
  std({ correction = 1, ...over }: Over & { correction?: number } = {}): NdArray<'f32'> {
    return this.reduce('std', over, deviation(correction))
  }
  max(over?: Over): NdArray<'f32'> {
    return this.reduce('max', over, largest)
  }
  min(over?: Over): NdArray<'f32'> {
    return this.neg().max(over).neg()
  }
  /** The q-th quantile with linear interpolation, 0 ≤ q ≤ 1. */
  quantile(q: number, over?: Over): NdArray<'f32'> {
    if (!(q >= 0 && q <= 1)) throw new ArgumentError(`quantile: expected 0 ≤ q ≤ 1, got ${q}`)
    return this.reduce('quantile', over, quantile(q))
  }
  /** Euclidean norm. */
  norm(over?: Over): NdArray<'f32'> {
    return this.reduce('norm', over, length)
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
    return new NdArray(product(a, b, [n, k, m]), [n, m], 'f32')
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
    const inner = sizeOf(this.shape.slice(1))
    if (this.shape.length === 0) return this.item()
    return Array.from({ length: this.shape[0] as number }, (_, i) =>
      this.shape.length === 1
        ? Number(this.data[i])
        : new NdArray(this.data.slice(i * inner, (i + 1) * inner) as ArrayOf[D], this.shape.slice(1), this.dtype).toNested(),
    )
  }

  private floats(op: string): Float32Array {
    if (this.dtype !== 'f32') throw new DTypeError(`${op}: expected f32, got ${this.dtype}; cast('f32') first`)
    return this.data as Float32Array
  }

  private axis(axis: number, op: string): number {
    const rank = this.shape.length
    if (!Number.isInteger(axis) || axis < -rank || axis >= rank)
      throw new ShapeError(`${op}: no axis ${axis} in shape [${this.shape.join(', ')}]`)
    return axis < 0 ? rank + axis : axis
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
    gatherInto(out.data, this.data, shape, strides)
    return out
  }

  private reduce(op: string, over: Over | undefined, f: Reduction) {
    const all = this.shape.map((_, i) => i)
    const axes = over?.axes?.map((a) => this.axis(a, op)) ?? all
    const kept = all.filter((i) => !axes.includes(i))
    const inOrder = [...kept, ...axes].every((a, i) => a === i)
    const x = (inOrder ? this : this.permute([...kept, ...axes])).floats(op)
    const shape = over?.keep ? this.shape.map((n, i) => (axes.includes(i) ? 1 : n)) : kept.map((i) => this.shape[i] as number)
    const out = new Float32Array(sizeOf(shape))
    const run = sizeOf(axes.map((i) => this.shape[i] as number))
    for (let i = 0; i < out.length; i++) out[i] = f(x, i * run, run)
    return new NdArray(out, shape, 'f32')
  }
}
