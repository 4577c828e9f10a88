import { ArgumentError, ShapeError } from './errors.ts'
import { attention as attentionOp } from './ops/attention.ts'
import { convInputGrad as convInputGradOp, conv as convOp, convWeightGrad as convWeightGradOp } from './ops/conv.ts'
import { where as whereOp } from './ops/elementwise.ts'
import { matmul as matmulOp } from './ops/matmul.ts'
import * as move from './ops/move.ts'
import * as norm from './ops/norm.ts'
import { checkDTypes } from './ops/op.ts'
import { avgPool as avgPoolOp, maxPool as maxPoolOp } from './ops/pool.ts'
import { type ConvAttrs, checkWindow } from './ops/window.ts'
import { axisOf, isCount, range, type Shape, sameShape, showShape, sizeOf } from './shape.ts'
import { build, constant, ones, type Tensor, zeros } from './tensor.ts'

/** x where the condition holds, else y. */
export const where = (condition: Tensor, x: Tensor, y: Tensor): Tensor => build(whereOp, [condition, x, y])

export function concat(tensors: readonly Tensor[], axis: number): Tensor {
  const [first] = tensors
  if (!first) throw new ArgumentError('concat: no tensors given')
  axisOf(axis, first.rank, 'concat')
  return tensors.length === 1 ? first : build(move.concat, [...tensors], { axis: axisOf(axis, first.rank, 'concat') })
}

/** Tensors of one shape stacked along a new axis. */
export const stack = (tensors: readonly Tensor[], axis = 0): Tensor =>
  concat(
    tensors.map((x) => x.unsqueeze(axis)),
    axis,
  )

/** Updates [M, …] added up in rows of a zero tensor [rows, …] at index [M]. */
export const scatterRows = (updates: Tensor, index: Tensor, rows: number): Tensor =>
  build(move.scatterAdd, [updates, index], { rows })

/** x [rows, …] with updates [M, …] added in the rows that index [M] names, repeats adding up. */
export const scatterAdd = (x: Tensor, index: Tensor, updates: Tensor): Tensor =>
  x.add(scatterRows(updates, index, x.shape[0] as number))

/** Rows of a table [V, D] by token number: index [...] → [..., D]. */
export const embedding = (table: Tensor, index: Tensor): Tensor => table.gather(index, 0)

/** x [.., in] · weightᵀ [in, out] + bias, as one matrix product over all leading axes. */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const [out, width] = weight.shape as [number, number]
  if (weight.rank !== 2)
    throw new ShapeError(`linear by ${weight.describe()}: the weight ${showShape(weight.shape)} must be [outputs, inputs]`)
  if (x.shape[x.rank - 1] !== width) {
    throw new ShapeError(
      `linear by ${weight.describe()} ${showShape(weight.shape)}: the last axis of ${showShape(x.shape)} must be ${width}`,
    )
  }
  if (bias && !sameShape(bias.shape, [out]))
    throw new ShapeError(`linear by ${weight.describe()}: the bias ${showShape(bias.shape)} must be [${out}]`)
  const rows = x.reshape([sizeOf(x.shape.slice(0, -1)), width])
  const product = build(matmulOp, bias ? [rows, weight, bias] : [rows, weight], { transA: false, transB: true })
  return product.reshape([...x.shape.slice(0, -1), out])
}

/** How the window of a convolution or a pool moves. A number applies to every axis; padding may differ before and after. */
export interface WindowOptions {
  readonly stride?: number | readonly number[]
  readonly dilation?: number | readonly number[]
  readonly padding?: number | readonly (number | readonly [number, number])[]
  readonly groups?: number
}

function convAttrs(n: number, { stride = 1, dilation = 1, padding = 0, groups = 1 }: WindowOptions): ConvAttrs {
  const each = <T>(value: T | readonly T[]): readonly T[] => (Array.isArray(value) ? value : range(n).map(() => value as T))
  const pads = each<number | readonly [number, number]>(padding)
  return {
    stride: each(stride),
    dilation: each(dilation),
    before: pads.map((p) => (typeof p === 'number' ? p : p[0])),
    after: pads.map((p) => (typeof p === 'number' ? p : p[1])),
    groups,
  }
}

const isAttrs = (options: WindowOptions | ConvAttrs): options is ConvAttrs => 'before' in options

/** Cross-correlation: x [B, C, …], weight [O, C/groups, …kernel], bias [O] → [B, O, …]; one, two or three spatial axes. */
export const conv = (x: Tensor, weight: Tensor, options: (WindowOptions & { bias?: Tensor }) | ConvAttrs = {}): Tensor => {
  if (isAttrs(options)) return build(convOp, [x, weight], options)
  const { bias, ...window } = options
  return build(convOp, bias ? [x, weight, bias] : [x, weight], convAttrs(x.rank - 2, window))
}

/** Transposed convolution: x [B, I, …], weight [I, O/groups, …kernel] → [B, O, …], as PyTorch's. */
export function convTranspose(x: Tensor, weight: Tensor, options: WindowOptions & { outputPadding?: number } = {}): Tensor {
  const attrs = convAttrs(x.rank - 2, options)
  const place = `convTranspose of ${x.describe()} ${showShape(x.shape)} by ${weight.describe()} ${showShape(weight.shape)}`
  checkWindow(place, x.rank - 2, weight.shape.slice(2), attrs)
  const { outputPadding = 0 } = options
  if (
    !isCount(outputPadding) ||
    attrs.stride.some((step, i) => outputPadding >= Math.max(step, attrs.dilation[i] as number) && outputPadding > 0)
  )
    throw new ArgumentError(`${place}: output padding ${outputPadding} must be less than the stride or the dilation`)
  const size = x.shape.slice(2).map((n, i) => {
    const reach = (attrs.dilation[i] as number) * ((weight.shape[i + 2] as number) - 1) + 1
    return (
      (attrs.stride[i] as number) * (n - 1) + reach - (attrs.before[i] as number) - (attrs.after[i] as number) + outputPadding
    )
  })
  return convInputGrad(x, weight, size, attrs)
}

export const convInputGrad = (g: Tensor, weight: Tensor, size: Shape, attrs: ConvAttrs): Tensor =>
  build(convInputGradOp, [g, weight], { ...attrs, size })
export const convWeightGrad = (x: Tensor, g: Tensor, kernel: Shape, attrs: ConvAttrs): Tensor =>
  build(convWeightGradOp, [x, g], { ...attrs, kernel })

const poolAttrs = (x: Tensor, kernel: number | Shape, options: WindowOptions) => {
  const n = x.rank - 2
  const window = typeof kernel === 'number' ? range(n).map(() => kernel) : kernel
  return { ...convAttrs(n, { stride: window, ...options }), kernel: window }
}

/** Means of windows, side by side unless a stride is given; padding counts as zeros. */
export const avgPool = (x: Tensor, kernel: number | Shape, options: WindowOptions = {}): Tensor =>
  build(avgPoolOp, [x], poolAttrs(x, kernel, options))

export const maxPool = (x: Tensor, kernel: number | Shape, options: WindowOptions = {}): Tensor =>
  build(maxPoolOp, [x], poolAttrs(x, kernel, options))

/** Group norm (Wu and He 2018): x [B, C, …], weight and bias [C]. */
export const groupNorm = (x: Tensor, groups: number, weight: Tensor, bias: Tensor, eps = 1e-5): Tensor =>
  build(norm.groupNorm, [x, weight, bias], { groups, eps })

/** Layer norm over the last axis; without weight and bias they are 1 and 0. */
export function layerNorm(x: Tensor, weight?: Tensor, bias?: Tensor, eps = 1e-5): Tensor {
  const last = x.shape.slice(-1)
  return build(norm.layerNorm, [x, weight ?? ones(last, x.dtype), bias ?? zeros(last, x.dtype)], { eps })
}

export const rmsNorm = (x: Tensor, weight?: Tensor, eps = 1e-5): Tensor =>
  build(norm.rmsNorm, [x, weight ?? ones(x.shape.slice(-1), x.dtype)], { eps })

/**
 * softmax(q kᵀ · scale + mask) v: q [B, N, D], k [B, M, D], v [B, M, E], mask [1|B, 1|heads, N, M] → [B, N, E]. A mask that is known to be
 * `finite` hides no query's keys altogether: that need not be looked for.
 */
export function attention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  {
    heads,
    mask,
    causal = false,
    scale,
    finite = false,
  }: { heads: number; mask?: Tensor; causal?: boolean; scale?: number; finite?: boolean },
): Tensor {
  const perHead = (q.shape[q.rank - 1] as number) / heads
  return build(attentionOp, mask ? [q, k, v, mask] : [q, k, v], { heads, causal, finite, scale: scale ?? perHead ** -0.5 })
}

/** Largest axis whose positions float32 represents exactly. */
const MOST_ALONG = 2 ** 24

/** [B, C, H, W] → [B, C, height, width] as torch's interpolate with align_corners = false (half-pixel centres). */
export function resize(x: Tensor, size: Shape, mode: 'nearest' | 'bilinear'): Tensor {
  if (x.rank < 3 || size.length !== x.rank - 2 || !size.every((n) => isCount(n) && n > 0 && n <= MOST_ALONG))
    throw new ArgumentError(
      `resize of ${x.describe()} ${showShape(x.shape)}: ${showShape(size)} must be ${Math.max(1, x.rank - 2)} sizes of spatial axes`,
    )
  if (mode === 'bilinear') checkDTypes(`resize of ${x.describe()}`, [x], 'floats')
  if (x.shape.slice(2).includes(0)) throw new ArgumentError(`resize: ${x.describe()} ${showShape(x.shape)} has no elements`)
  const factors = size.map((n, i) => n / (x.shape[i + 2] as number))
  const repeats = (f: number, i: number) =>
    nearest(x.shape[i + 2] as number, size[i] as number).every((k, at) => k === Math.floor(at / f))
  if (mode === 'nearest' && factors.every(Number.isInteger) && factors.every(repeats)) return x.upsample(factors)
  return size.reduce((part, n, i) => resizeAxis(part, i + 2, n, mode), x)
}

/** For each of `size` elements the nearest of `from`, calculated in float32 as PyTorch does: at some sizes that rounds to the element before. */
function nearest(from: number, size: number): Int32Array {
  const scale = Math.fround(from / size)
  return Int32Array.from(range(size), (i) => Math.min(from - 1, Math.floor(Math.fround(i * scale))))
}

function resizeAxis(x: Tensor, axis: number, size: number, mode: 'nearest' | 'bilinear'): Tensor {
  const from = x.shape[axis] as number
  if (from === size) return x
  if (mode === 'nearest') {
    return x.gather(constant(nearest(from, size)), axis)
  }
  const matrix = new Float32Array(size * from)
  for (let i = 0; i < size; i++) {
    const centre = Math.max(0, ((i + 0.5) * from) / size - 0.5)
    const lower = Math.min(from - 1, Math.floor(centre))
    const upper = Math.min(from - 1, lower + 1)
    matrix[i * from + lower] = (matrix[i * from + lower] as number) + 1 - (centre - lower)
    matrix[i * from + upper] = (matrix[i * from + upper] as number) + centre - lower
  }
  const order = [...range(x.rank).filter((i) => i !== axis), axis]
  const rows = x
    .transpose(...order)
    .reshape([x.size / from, from])
    .matmul(constant(matrix, [size, from]).cast(x.dtype), { transB: true })
  const shape = order.map((i) => (i === axis ? size : (x.shape[i] as number)))
  return rows.reshape(shape).transpose(...range(x.rank).map((i) => order.indexOf(i)))
}

/** Padding that repeats the border (`edge`) or mirrors at it (`reflect`), on the spatial axes of [B, C, …]. */
export function padBorder(x: Tensor, before: Shape, after: Shape, mode: 'edge' | 'reflect'): Tensor {
  const place = `padBorder of ${x.describe()} ${showShape(x.shape)}`
  if (
    before.length !== x.rank - 2 ||
    after.length !== x.rank - 2 ||
    ![...before, ...after].every((n) => isCount(n) && n <= MOST_ALONG)
  )
    throw new ArgumentError(
      `${place}: ${showShape(before)} and ${showShape(after)} must be ${Math.max(0, x.rank - 2)} counts each`,
    )
  for (const [i, n] of x.shape.slice(2).entries()) {
    const most = Math.max(before[i] as number, after[i] as number)
    if (most > (mode === 'reflect' ? Math.max(0, n - 1) : n === 0 ? 0 : Infinity))
      throw new ArgumentError(`${place}: ${most} more elements cannot come from axis ${i + 2} of ${n} by ${mode}`)
  }
  return before.reduce((part, _, i) => {
    const n = part.shape[i + 2] as number
    const at = (k: number) => (mode === 'edge' ? Math.min(n - 1, Math.max(0, k)) : n - 1 - Math.abs(n - 1 - Math.abs(k)))
    const total = n + (before[i] as number) + (after[i] as number)
    const index = Int32Array.from(range(total), (k) => at(k - (before[i] as number)))
    return total === n ? part : part.gather(constant(index), i + 2)
  }, x)
}
