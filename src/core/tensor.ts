import { checkElement, type DType } from './dtype.ts'
import { ShapeError } from './errors.ts'
import { build, type Op, Tensor } from './graph.ts'
import { scalar } from './leaves.ts'
import * as elementwise from './ops/elementwise.ts'
import { matmul as matmulOp } from './ops/matmul.ts'
import * as move from './ops/move.ts'
import { upsample as upsampleOp } from './ops/pool.ts'
import * as reduce from './ops/reduce.ts'
import { axesOf, axisOf, isCount, range, type Shape, sameShape, showShape } from './shape.ts'

export { build, Tensor } from './graph.ts'
export * from './leaves.ts'

/** What an elementwise operation takes: a tensor, or a number of the other operand's dtype. */
export type Operand = Tensor | number

/** Methods whose `this` is a tensor. */
const methodsOfTensor = <M extends object>(methods: M & ThisType<Tensor>): M => methods

/** A tensor's operations. They are added to its class here, because operations know tensors: no import points back. */
const methods = methodsOfTensor({
  // Arithmetic, with NumPy's broadcasting.
  add(y: Operand): Tensor {
    return build(elementwise.add, [this, this.like(y, 'add')])
  },
  sub(y: Operand): Tensor {
    return build(elementwise.sub, [this, this.like(y, 'sub')])
  },
  mul(y: Operand): Tensor {
    return build(elementwise.mul, [this, this.like(y, 'mul')])
  },
  div(y: Operand): Tensor {
    return build(elementwise.div, [this, this.like(y, 'div')])
  },
  /** this^y; for y of 2 prefer `square`. */
  pow(y: Operand): Tensor {
    return build(elementwise.pow, [this, this.like(y, 'pow')])
  },
  maximum(y: Operand): Tensor {
    return build(elementwise.maximum, [this, this.like(y, 'maximum')])
  },
  minimum(y: Operand): Tensor {
    return build(elementwise.minimum, [this, this.like(y, 'minimum')])
  },
  square(): Tensor {
    return this.mul(this)
  },
  neg(): Tensor {
    return build(elementwise.neg, [this])
  },
  exp(): Tensor {
    return build(elementwise.exp, [this])
  },
  /** Natural logarithm. */
  log(): Tensor {
    return build(elementwise.log, [this])
  },
  sqrt(): Tensor {
    return build(elementwise.sqrt, [this])
  },
  abs(): Tensor {
    return build(elementwise.abs, [this])
  },
  sign(): Tensor {
    return build(elementwise.sign, [this])
  },
  floor(): Tensor {
    return build(elementwise.floor, [this])
  },
  /** To the nearest integer, halves to even. */
  round(): Tensor {
    return build(elementwise.round, [this])
  },
  tanh(): Tensor {
    return build(elementwise.tanh, [this])
  },
  sigmoid(): Tensor {
    return build(elementwise.sigmoid, [this])
  },
  erf(): Tensor {
    return build(elementwise.erf, [this])
  },
  sin(): Tensor {
    return build(elementwise.sin, [this])
  },
  cos(): Tensor {
    return build(elementwise.cos, [this])
  },
  /** min(max(this, lo), hi). */
  clip(lo: number, hi: number): Tensor {
    return build(elementwise.clip, [this], { lo, hi })
  },
  silu(): Tensor {
    return build(elementwise.silu, [this])
  },
  leakyRelu(slope = 0.01): Tensor {
    return build(elementwise.leakyRelu, [this], { slope })
  },
  gelu(kind: elementwise.GeluKind = 'exact'): Tensor {
    return build(elementwise.gelu, [this], { kind })
  },
  relu(): Tensor {
    return build(elementwise.relu, [this])
  },
  /** ln(1 + eˣ), without overflow. */
  softplus(): Tensor {
    return build(elementwise.softplus, [this])
  },
  /** ln σ(x), without underflow. */
  logSigmoid(): Tensor {
    return this.neg().softplus().neg()
  },

  // Comparisons, to bool.
  eq(y: Operand): Tensor {
    return build(elementwise.eq, [this, this.like(y, 'eq')])
  },
  lt(y: Operand): Tensor {
    return build(elementwise.lt, [this, this.like(y, 'lt')])
  },
  le(y: Operand): Tensor {
    return build(elementwise.le, [this, this.like(y, 'le')])
  },
  gt(y: Operand): Tensor {
    return build(elementwise.gt, [this, this.like(y, 'gt')])
  },
  ge(y: Operand): Tensor {
    return build(elementwise.ge, [this, this.like(y, 'ge')])
  },
  and(y: Tensor): Tensor {
    return build(elementwise.and, [this, y])
  },
  or(y: Tensor): Tensor {
    return build(elementwise.or, [this, y])
  },
  not(): Tensor {
    return build(elementwise.not, [this])
  },

  // Reductions, over all axes unless some are given.
  sum(axes?: number | readonly number[], keepdims = false): Tensor {
    return reduced(this, reduce.sum, axes, keepdims)
  },
  mean(axes?: number | readonly number[], keepdims = false): Tensor {
    return reduced(this, reduce.mean, axes, keepdims)
  },
  max(axes?: number | readonly number[], keepdims = false): Tensor {
    return reduced(this, reduce.max, axes, keepdims)
  },
  min(axes?: number | readonly number[], keepdims = false): Tensor {
    return reduced(this, reduce.min, axes, keepdims)
  },
  /** Index (i64) of the first greatest element along an axis, which goes. */
  argmax(axis = -1): Tensor {
    const k = axisOf(axis, this.rank, 'argmax')
    return build(reduce.argmax, [this], { axis: k }).reshape(this.shape.filter((_, i) => i !== k))
  },
  cumsum(axis: number, { reverse = false } = {}): Tensor {
    return build(reduce.cumsum, [this], { axis: axisOf(axis, this.rank, 'cumsum'), reverse })
  },
  softmax(axis = -1): Tensor {
    return build(reduce.softmax, [this], { axis: axisOf(axis, this.rank, 'softmax') })
  },
  logSoftmax(axis = -1): Tensor {
    axisOf(axis, this.rank, 'logSoftmax')
    const shifted = this.sub(this.max(axis, true).stopGradient())
    return shifted.sub(shifted.exp().sum(axis, true).log())
  },

  // Shape.
  /** One size may be −1: it is what the others leave. */
  reshape(shape: Shape): Tensor {
    const known = shape.reduce((n, size) => (size === -1 ? n : n * size), 1)
    if (shape.filter((size) => size === -1).length > 1 || (known === 0 && shape.includes(-1)))
      throw new ShapeError(`reshape: ${this.describe()} ${showShape(this.shape)} to ${showShape(shape)} leaves the −1 open`)
    const full = shape.map((size) => (size === -1 ? this.size / known : size))
    return sameShape(full, this.shape) ? this : build(move.reshape, [this], { shape: full })
  },
  /** Axis i of the result is axis perm[i]; without arguments all axes in reverse. */
  transpose(...perm: number[]): Tensor {
    const order = perm.length === 0 ? range(this.rank).reverse() : perm.map((axis) => axisOf(axis, this.rank, 'transpose'))
    return order.every((axis, i) => axis === i) && order.length === this.rank
      ? this
      : build(move.transpose, [this], { perm: order })
  },
  expand(shape: Shape): Tensor {
    return sameShape(shape, this.shape) ? this : build(move.expand, [this], { shape })
  },
  /** A new axis of size 1. */
  unsqueeze(axis: number): Tensor {
    const k = axisOf(axis, this.rank + 1, 'unsqueeze')
    return this.reshape([...this.shape.slice(0, k), 1, ...this.shape.slice(k)])
  },
  /** Axes of size 1 removed. */
  squeeze(...axes: number[]): Tensor {
    const gone = axes.map((axis) => axisOf(axis, this.rank, 'squeeze'))
    for (const axis of gone) {
      if (this.shape[axis] !== 1)
        throw new ShapeError(`squeeze: axis ${axis} of ${this.describe()} ${showShape(this.shape)} is not 1`)
    }
    return this.reshape(this.shape.filter((_, i) => !gone.includes(i)))
  },
  /** Elements start, start + step, … before end; negative positions count from the back. */
  slice(axis: number, start: number, end?: number, step = 1): Tensor {
    const k = axisOf(axis, this.rank, 'slice')
    const size = this.shape[k] as number
    const from = start < 0 ? start + size : start
    const to = end === undefined ? size : end < 0 ? end + size : end
    if (from === 0 && to === size && step === 1) return this
    return build(move.slice, [this], { axis: k, start: from, end: to, step })
  },
  flip(axis: number): Tensor {
    return build(move.flip, [this], { axis: axisOf(axis, this.rank, 'flip') })
  },
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
  },
  /** `value` put before and after every axis. */
  pad(before: readonly number[], after: readonly number[], value = 0): Tensor {
    if ([...before, ...after].every((n) => n === 0) && before.length === this.rank && after.length === this.rank) return this
    return build(move.pad, [this], { before, after, value })
  },
  padAxis(axis: number, before: number, after: number, value = 0): Tensor {
    const k = axisOf(axis, this.rank, 'padAxis')
    const only = (n: number) => this.shape.map((_, i) => (i === k ? n : 0))
    return this.pad(only(before), only(after), value)
  },
  /** Slices of an axis by an index tensor (i64 or i32), whose shape takes the axis's place. */
  gather(index: Tensor, axis: number): Tensor {
    return build(move.gather, [this, index], { axis: axisOf(axis, this.rank, 'gather') })
  },
  /** Summed over broadcast axes until it has this shape: the transpose of broadcasting. */
  sumTo(shape: Shape): Tensor {
    if (sameShape(shape, this.shape)) return this
    const lead = this.rank - shape.length
    if (lead < 0 || shape.some((n, i) => n !== 1 && n !== this.shape[i + lead]))
      throw new ShapeError(`sumTo: ${this.describe()} ${showShape(this.shape)} is not ${showShape(shape)} broadcast`)
    const axes = range(this.rank).filter((i) => i < lead || (shape[i - lead] === 1 && this.shape[i] !== 1))
    return this.sum(axes, true).reshape(shape)
  },

  matmul(y: Tensor, { transA = false, transB = false } = {}): Tensor {
    return build(matmulOp, [this, y], { transA, transB })
  },
  /** Each element repeated along the spatial axes of [B, C, …]. */
  upsample(factors: Shape): Tensor {
    return factors.every((f) => f === 1) && factors.length === this.rank - 2 ? this : build(upsampleOp, [this], { factors })
  },
  cast(dtype: DType): Tensor {
    return dtype === this.dtype ? this : build(elementwise.cast, [this], { to: dtype })
  },
  /** The same values, through which no gradient passes. */
  stopGradient(): Tensor {
    return build(elementwise.stopGradient, [this])
  },

  /** A number as a constant of this dtype. */
  like(y: Operand, place = 'like'): Tensor {
    if (typeof y !== 'number') return y
    checkElement(`${place} of ${this.describe()} and a number`, y, this.dtype)
    return scalar(y, this.dtype)
  },
})

function reduced(x: Tensor, op: Op<reduce.ReduceAttrs>, axes: number | readonly number[] | undefined, keepdims: boolean): Tensor {
  const list = axesOf(axes, x.rank, op.name)
  const kept = list.length === 0 ? x : build(op, [x], { axes: list })
  return keepdims ? kept : kept.reshape(x.shape.filter((_, i) => !list.includes(i)))
}

type Methods = typeof methods

declare module './graph.ts' {
  // biome-ignore lint/suspicious/noExplicitAny: as in the class.
  interface Tensor<A = any> extends Methods {}
}

Object.assign(Tensor.prototype, methods)
