import { bytesPer, checkElement, type DType, elements, holds, type TypedArray } from './dtype.ts'
import { ArgumentError, DTypeError, ShapeError } from './errors.ts'
import * as elementwise from './ops/elementwise.ts'
import { matmul as matmulOp } from './ops/matmul.ts'
import * as move from './ops/move.ts'
import type { Op } from './ops/op.ts'
import { upsample as upsampleOp } from './ops/pool.ts'
import * as reduce from './ops/reduce.ts'
import { axesOf, axisOf, checkShape, isCount, range, type Shape, sameShape, showShape, sizeOf } from './shape.ts'

/** What an elementwise operation takes: a tensor, or a number of the other operand's dtype. */
export type Operand = Tensor | number

/**
 * A symbolic tensor: a node of a graph, with a shape and a dtype but no value. Operations trace new nodes;
 * `grad` differentiates the graph and the runtime's `compile` turns it into a program.
 */
// biome-ignore lint/suspicious/noExplicitAny: a graph holds nodes of every kind of attributes.
export class Tensor<A = any> {
  readonly op: Op<A>
  readonly inputs: readonly Tensor[]
  readonly attrs: A
  readonly shape: Shape
  readonly dtype: DType
  /** The name of an input or a parameter. */
  readonly name: string | undefined

  /** One node; the operation's shape rule decides shape and dtype. */
  constructor(op: Op<A>, inputs: readonly Tensor[], attrs: A, name?: string) {
    const { shape, dtype } = op.shape(inputs, attrs)
    checkShape(op.name, shape)
    this.op = op
    this.inputs = inputs
    this.attrs = attrs
    this.shape = shape
    this.dtype = dtype
    this.name = name
  }

  get rank(): number {
    return this.shape.length
  }

  get size(): number {
    return sizeOf(this.shape)
  }

  /** How an error names this tensor: its own name, or the operation that made it. */
  describe(): string {
    return this.name ? `"${this.name}"` : `the result of ${this.op.name}`
  }

  // Arithmetic, with NumPy's broadcasting.
  add(y: Operand): Tensor {
    return build(elementwise.add, [this, this.like(y, 'add')])
  }
  sub(y: Operand): Tensor {
    return build(elementwise.sub, [this, this.like(y, 'sub')])
  }
  mul(y: Operand): Tensor {
    return build(elementwise.mul, [this, this.like(y, 'mul')])
  }
  div(y: Operand): Tensor {
    return build(elementwise.div, [this, this.like(y, 'div')])
  }
  /** this^y; for y of 2 prefer `square`. */
  pow(y: Operand): Tensor {
    return build(elementwise.pow, [this, this.like(y, 'pow')])
  }
  maximum(y: Operand): Tensor {
    return build(elementwise.maximum, [this, this.like(y, 'maximum')])
  }
  minimum(y: Operand): Tensor {
    return build(elementwise.minimum, [this, this.like(y, 'minimum')])
  }
  square(): Tensor {
    return this.mul(this)
  }
  neg(): Tensor {
    return build(elementwise.neg, [this])
  }
  exp(): Tensor {
    return build(elementwise.exp, [this])
  }
  /** Natural logarithm. */
  log(): Tensor {
    return build(elementwise.log, [this])
  }
  sqrt(): Tensor {
    return build(elementwise.sqrt, [this])
  }
  abs(): Tensor {
    return build(elementwise.abs, [this])
  }
  sign(): Tensor {
    return build(elementwise.sign, [this])
  }
  floor(): Tensor {
    return build(elementwise.floor, [this])
  }
  /** To the nearest integer, halves to even. */
  round(): Tensor {
    return build(elementwise.round, [this])
  }
  tanh(): Tensor {
    return build(elementwise.tanh, [this])
  }
  sigmoid(): Tensor {
    return build(elementwise.sigmoid, [this])
  }
  erf(): Tensor {
    return build(elementwise.erf, [this])
  }
  sin(): Tensor {
    return build(elementwise.sin, [this])
  }
  cos(): Tensor {
    return build(elementwise.cos, [this])
  }
  /** min(max(this, lo), hi). */
  clip(lo: number, hi: number): Tensor {
    return build(elementwise.clip, [this], { lo, hi })
  }
  silu(): Tensor {
    return build(elementwise.silu, [this])
  }
  leakyRelu(slope = 0.01): Tensor {
    return build(elementwise.leakyRelu, [this], { slope })
  }
  gelu(kind: elementwise.GeluKind = 'exact'): Tensor {
    return build(elementwise.gelu, [this], { kind })
  }
  relu(): Tensor {
    return build(elementwise.relu, [this])
  }
  /** ln(1 + eˣ), without overflow. */
  softplus(): Tensor {
    return build(elementwise.softplus, [this])
  }
  /** ln σ(x), without underflow. */
  logSigmoid(): Tensor {
    return this.neg().softplus().neg()
  }

  // Comparisons, to bool.
  eq(y: Operand): Tensor {
    return build(elementwise.eq, [this, this.like(y, 'eq')])
  }
  lt(y: Operand): Tensor {
    return build(elementwise.lt, [this, this.like(y, 'lt')])
  }
  le(y: Operand): Tensor {
    return build(elementwise.le, [this, this.like(y, 'le')])
  }
  gt(y: Operand): Tensor {
    return build(elementwise.gt, [this, this.like(y, 'gt')])
  }
  ge(y: Operand): Tensor {
    return build(elementwise.ge, [this, this.like(y, 'ge')])
  }
  and(y: Tensor): Tensor {
    return build(elementwise.and, [this, y])
  }
  or(y: Tensor): Tensor {
    return build(elementwise.or, [this, y])
  }
  not(): Tensor {
    return build(elementwise.not, [this])
  }

  // Reductions, over all axes unless some are given.
  sum(axes?: number | readonly number[], keepdims = false): Tensor {
    return this.reduce(reduce.sum, axes, keepdims)
  }
  mean(axes?: number | readonly number[], keepdims = false): Tensor {
    return this.reduce(reduce.mean, axes, keepdims)
  }
  max(axes?: number | readonly number[], keepdims = false): Tensor {
    return this.reduce(reduce.max, axes, keepdims)
  }
  min(axes?: number | readonly number[], keepdims = false): Tensor {
    return this.reduce(reduce.min, axes, keepdims)
  }
  /** Index (i64) of the first greatest element along an axis, which goes. */
  argmax(axis = -1): Tensor {
    const k = axisOf(axis, this.rank, 'argmax')
    return build(reduce.argmax, [this], { axis: k }).reshape(this.shape.filter((_, i) => i !== k))
  }
  cumsum(axis: number, { reverse = false } = {}): Tensor {
    return build(reduce.cumsum, [this], { axis: axisOf(axis, this.rank, 'cumsum'), reverse })
  }
  softmax(axis = -1): Tensor {
    return build(reduce.softmax, [this], { axis: axisOf(axis, this.rank, 'softmax') })
  }
  logSoftmax(axis = -1): Tensor {
    axisOf(axis, this.rank, 'logSoftmax')
    const shifted = this.sub(this.max(axis, true).stopGradient())
    return shifted.sub(shifted.exp().sum(axis, true).log())
  }

  // Shape.
  /** One size may be −1: it is what the others leave. */
  reshape(shape: Shape): Tensor {
    const known = shape.reduce((n, size) => (size === -1 ? n : n * size), 1)
    if (shape.filter((size) => size === -1).length > 1 || (known === 0 && shape.includes(-1)))
      throw new ShapeError(`reshape: ${this.describe()} ${showShape(this.shape)} to ${showShape(shape)} leaves the −1 open`)
    const full = shape.map((size) => (size === -1 ? this.size / known : size))
    return sameShape(full, this.shape) ? this : build(move.reshape, [this], { shape: full })
  }
  /** Axis i of the result is axis perm[i]; without arguments all axes in reverse. */
  transpose(...perm: number[]): Tensor {
    const order = perm.length === 0 ? range(this.rank).reverse() : perm.map((axis) => axisOf(axis, this.rank, 'transpose'))
    return order.every((axis, i) => axis === i) && order.length === this.rank
      ? this
      : build(move.transpose, [this], { perm: order })
  }
  expand(shape: Shape): Tensor {
    return sameShape(shape, this.shape) ? this : build(move.expand, [this], { shape })
  }
  /** A new axis of size 1. */
  unsqueeze(axis: number): Tensor {
    const k = axisOf(axis, this.rank + 1, 'unsqueeze')
    return this.reshape([...this.shape.slice(0, k), 1, ...this.shape.slice(k)])
  }
  /** Axes of size 1 removed. */
  squeeze(...axes: number[]): Tensor {
    const gone = axes.map((axis) => axisOf(axis, this.rank, 'squeeze'))
    for (const axis of gone) {
      if (this.shape[axis] !== 1)
        throw new ShapeError(`squeeze: axis ${axis} of ${this.describe()} ${showShape(this.shape)} is not 1`)
    }
    return this.reshape(this.shape.filter((_, i) => !gone.includes(i)))
  }
  /** Elements start, start + step, … before end; negative positions count from the back. */
  slice(axis: number, start: number, end?: number, step = 1): Tensor {
    const k = axisOf(axis, this.rank, 'slice')
    const size = this.shape[k] as number
    const from = start < 0 ? start + size : start
    const to = end === undefined ? size : end < 0 ? end + size : end
    if (from === 0 && to === size && step === 1) return this
    return build(move.slice, [this], { axis: k, start: from, end: to, step })
  }
  flip(axis: number): Tensor {
    return build(move.flip, [this], { axis: axisOf(axis, this.rank, 'flip') })
  }
  /** `count` parts of equal size, or parts of the sizes given. */
  split(parts: number | readonly number[], axis: number): Tensor[] {
    const k = axisOf(axis, this.rank, 'split')
    const size = this.shape[k] as number
    const equal = (count: number) => (isCount(size / count) && count <= size ? range(count).map(() => size / count) : [])
    const sizes = typeof parts === 'number' ? equal(parts) : parts
    if (sizes.length === 0 || !sizes.every((n) => isCount(n) && n > 0) || sizes.reduce((a, b) => a + b, 0) !== size) {
      throw new ShapeError(`split: axis ${k} of ${this.describe()} (size ${size}) does not split into ${JSON.stringify(parts)}`)
    }
    let start = 0
    return sizes.map((n) => {
      start += n
      return this.slice(k, start - n, start)
    })
  }
  /** `value` put before and after every axis. */
  pad(before: readonly number[], after: readonly number[], value = 0): Tensor {
    if ([...before, ...after].every((n) => n === 0) && before.length === this.rank && after.length === this.rank) return this
    return build(move.pad, [this], { before, after, value })
  }
  padAxis(axis: number, before: number, after: number, value = 0): Tensor {
    const k = axisOf(axis, this.rank, 'padAxis')
    const only = (n: number) => this.shape.map((_, i) => (i === k ? n : 0))
    return this.pad(only(before), only(after), value)
  }
  /** Slices of an axis by an index tensor (i64 or i32), whose shape takes the axis's place. */
  gather(index: Tensor, axis: number): Tensor {
    return build(move.gather, [this, index], { axis: axisOf(axis, this.rank, 'gather') })
  }
  /** Summed over broadcast axes until it has this shape: the transpose of broadcasting. */
  sumTo(shape: Shape): Tensor {
    if (sameShape(shape, this.shape)) return this
    const lead = this.rank - shape.length
    if (lead < 0 || shape.some((n, i) => n !== 1 && n !== this.shape[i + lead]))
      throw new ShapeError(`sumTo: ${this.describe()} ${showShape(this.shape)} is not ${showShape(shape)} broadcast`)
    const axes = range(this.rank).filter((i) => i < lead || (shape[i - lead] === 1 && this.shape[i] !== 1))
    return this.sum(axes, true).reshape(shape)
  }

  matmul(y: Tensor, { transA = false, transB = false } = {}): Tensor {
    return build(matmulOp, [this, y], { transA, transB })
  }
  /** Each element repeated along the spatial axes of [B, C, …]. */
  upsample(factors: Shape): Tensor {
    return factors.every((f) => f === 1) && factors.length === this.rank - 2 ? this : build(upsampleOp, [this], { factors })
  }
  cast(dtype: DType): Tensor {
    return dtype === this.dtype ? this : build(elementwise.cast, [this], { to: dtype })
  }
  /** The same values, through which no gradient passes. */
  stopGradient(): Tensor {
    return build(elementwise.stopGradient, [this])
  }

  /** A number as a constant of this dtype. */
  like(y: Operand, place = 'like'): Tensor {
    if (typeof y !== 'number') return y
    checkElement(`${place} of ${this.describe()} and a number`, y, this.dtype)
    return scalar(y, this.dtype)
  }

  private reduce(op: Op<reduce.ReduceAttrs>, axes: number | readonly number[] | undefined, keepdims: boolean): Tensor {
    const list = axesOf(axes, this.rank, op.name)
    const kept = list.length === 0 ? this : build(op, [this], { axes: list })
    return keepdims ? kept : kept.reshape(this.shape.filter((_, i) => !list.includes(i)))
  }
}

/** Adds a node to the graph: an operation applied to tensors. */
export function build<A>(op: Op<A>, inputs: readonly Tensor[], attrs = {} as A): Tensor<A> {
  return new Tensor(op, inputs, attrs)
}
/** @deprecated Use `build`. */
export const draw = build

// Leaves.

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
