import { isFloat } from '../dtype.ts'
import { ArgumentError } from '../errors.ts'
import type { Lowering, Spec, Tensor } from '../graph.ts'
import { axisOf, showShape, sizeOf } from '../shape.ts'
import { isNumber, withNaN } from './nan.ts'
import { type Accepts, at, checkDTypes, op } from './op.ts'

/** The reduced axes, counted from the front and sorted; reduced axes keep size 1. */
export interface ReduceAttrs {
  readonly axes: readonly number[]
}

const reduced =
  (name: string, accepts: Accepts) =>
  (inputs: readonly Tensor[], { axes }: ReduceAttrs): Spec => {
    checkDTypes(name, inputs, accepts)
    const x = at(inputs, 0)
    for (const axis of axes) axisOf(axis, x.rank, name)
    return { shape: x.shape.map((size, i) => (axes.includes(i) ? 1 : size)), dtype: x.dtype }
  }

const emitReduce = (b: Lowering, type: string, x: string, axes: readonly number[]) =>
  b.emit(type, [x, b.ints(axes)], { keepdims: 1 })

const reduction = (
  name: string,
  type: string,
  vjp: (g: Tensor, x: Tensor, y: Tensor, attrs: ReduceAttrs) => Tensor,
  accepts: Accepts = 'wide',
) =>
  op<ReduceAttrs>(name, {
    shape: reduced(name, accepts),
    lower: (b, [x], { attrs }) => emitReduce(b, type, x as string, attrs.axes),
    vjp: (g, inputs, y, attrs) => [vjp(g, at(inputs, 0), y, attrs)],
  })

/** Greatest or least elements. The engine's kernels pass over NaN; as in PyTorch it is the result where there is one. */
const extreme = (name: string, type: string) =>
  op<ReduceAttrs>(name, {
    shape: (inputs, attrs) => {
      const spec = reduced(name, 'anything')(inputs, attrs)
      if (spec.shape.some((_, i) => attrs.axes.includes(i) && at(inputs, 0).shape[i] === 0))
        throw new ArgumentError(
          `${name}: ${at(inputs, 0).describe()} ${showShape(at(inputs, 0).shape)} has no elements to choose from`,
        )
      return spec
    },
    lower: (b, [x], { inputs, attrs: { axes }, dtype }) => {
      const found = emitReduce(b, type, x as string, axes)
      return isFloat(dtype) ? withNaN(b, found, dtype, emitReduce(b, 'ReduceMin', b.value(isNumber(at(inputs, 0))), axes)) : found
    },
    vjp: (g, inputs, y, attrs) => [toExtreme(g, at(inputs, 0), y, attrs)],
  })

const countOf = (x: Tensor, { axes }: ReduceAttrs) => sizeOf(axes.map((axis) => at(x.shape, axis)))

/** The gradient goes to the extreme elements, shared equally where several tie, as PyTorch's amax does. */
const toExtreme = (g: Tensor, x: Tensor, y: Tensor, { axes }: ReduceAttrs) => {
  const hit = x.eq(y).cast(g.dtype)
  return g.div(hit.sum(axes, true)).mul(hit)
}

export const sum = reduction('sum', 'ReduceSum', (g, x) => g.expand(x.shape))
export const mean = reduction('mean', 'ReduceMean', (g, x, _, attrs) => g.div(countOf(x, attrs)).expand(x.shape), 'floats')
export const max = extreme('max', 'ReduceMax')
export const min = extreme('min', 'ReduceMin')

/** Index of the first greatest element along an axis, which keeps size 1; NaN is greater than all, as in PyTorch. */
export const argmax = op<{ axis: number }>('argmax', {
  shape: (inputs, { axis }) => {
    const { shape } = reduced('argmax', 'numbers')(inputs, { axes: [axis] })
    if (at(inputs, 0).shape[axis] === 0) throw new ArgumentError(`argmax: axis ${axis} of ${at(inputs, 0).describe()} is empty`)
    return { shape, dtype: 'i64' }
  },
  lower: (b, [x], { inputs, attrs }) => {
    const source = at(inputs, 0)
    const greatest = (of: string) => b.emit('ArgMax', [of], { axis: attrs.axis, keepdims: 1 })
    if (!isFloat(source.dtype)) return greatest(x as string)
    const sound = isNumber(source)
    const allSound = b.emit('Greater', [emitReduce(b, 'ReduceMin', b.value(sound), [attrs.axis]), b.scalar(0, source.dtype)])
    return b.emit('Where', [allSound, greatest(x as string), greatest(b.value(sound.neg()))])
  },
  vjp: 'not differentiable',
})

/** Running sums along an axis, from the end where `reverse`. */
export const cumsum = op<{ axis: number; reverse: boolean }>('cumsum', {
  shape: (inputs, { axis }) => {
    axisOf(axis, at(inputs, 0).rank, 'cumsum')
    return reduced('cumsum', 'wide')(inputs, { axes: [] })
  },
  lower: (b, [x], { attrs }) => b.emit('CumSum', [x as string, b.scalar(attrs.axis, 'i64')], { reverse: attrs.reverse ? 1 : 0 }),
  vjp: (g, _inputs, _y, { axis, reverse }) => [g.cumsum(axis, { reverse: !reverse })],
})

/** exp(x) / Σ exp(x) along an axis. */
export const softmax = op<{ axis: number }>('softmax', {
  shape: (inputs, { axis }) => {
    axisOf(axis, at(inputs, 0).rank, 'softmax')
    return reduced('softmax', 'floats')(inputs, { axes: [] })
  },
  lower: (b, [x], { attrs }) => b.emit('Softmax', [x as string], { axis: attrs.axis }),
  vjp: (g, _inputs, y, { axis }) => {
    const gy = g.mul(y)
    return [gy.sub(y.mul(gy.sum(axis, true)))]
  },
})
