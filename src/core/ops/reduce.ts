import { sizeOf } from '../shape.ts'
import type { Tensor } from '../tensor.ts'
import { type Accepts, at, checkDTypes, op, type Spec } from './op.ts'

/** The reduced axes, counted from the front and sorted; reduced axes keep size 1. */
export interface ReduceAttrs {
  readonly axes: readonly number[]
}

const reduced =
  (name: string, accepts: Accepts) =>
  (inputs: readonly Tensor[], { axes }: ReduceAttrs): Spec => {
    checkDTypes(name, inputs, accepts)
    const x = at(inputs, 0)
    return { shape: x.shape.map((size, i) => (axes.includes(i) ? 1 : size)), dtype: x.dtype }
  }

const reduction = (
  name: string,
  type: string,
  vjp: (g: Tensor, x: Tensor, y: Tensor, attrs: ReduceAttrs) => Tensor,
  accepts: Accepts = 'numbers',
) =>
  op<ReduceAttrs>(name, {
    shape: reduced(name, accepts),
    lower: (b, [x], { attrs }) => b.emit(type, [x as string, b.ints(attrs.axes)], { keepdims: 1 }),
    vjp: (g, inputs, y, attrs) => [vjp(g, at(inputs, 0), y, attrs)],
  })

const countOf = (x: Tensor, { axes }: ReduceAttrs) => sizeOf(axes.map((axis) => at(x.shape, axis)))

/** The gradient goes to the extreme elements, shared equally where several tie, as PyTorch's amax does. */
const toExtreme = (g: Tensor, x: Tensor, y: Tensor, { axes }: ReduceAttrs) => {
  const hit = x.eq(y).cast(g.dtype)
  return g.div(hit.sum(axes, true)).mul(hit)
}

export const sum = reduction('sum', 'ReduceSum', (g, x) => g.expand(x.shape))
export const mean = reduction('mean', 'ReduceMean', (g, x, _, attrs) => g.div(countOf(x, attrs)).expand(x.shape), 'floats')
export const max = reduction('max', 'ReduceMax', toExtreme, 'anything')
export const min = reduction('min', 'ReduceMin', toExtreme, 'anything')

/** Index of the first greatest element along an axis, which keeps size 1. */
export const argmax = op<{ axis: number }>('argmax', {
  shape: (inputs, { axis }) => ({ ...reduced('argmax', 'numbers')(inputs, { axes: [axis] }), dtype: 'i64' }),
  lower: (b, [x], { attrs }) => b.emit('ArgMax', [x as string], { axis: attrs.axis, keepdims: 1 }),
  vjp: 'not differentiable',
})

/** Running sums along an axis, from the end where `reverse`. */
export const cumsum = op<{ axis: number; reverse: boolean }>('cumsum', {
  shape: (inputs) => reduced('cumsum', 'numbers')(inputs, { axes: [] }),
  lower: (b, [x], { attrs }) => b.emit('CumSum', [x as string, b.scalar(attrs.axis, 'i64')], { reverse: attrs.reverse ? 1 : 0 }),
  vjp: (g, _inputs, _y, { axis, reverse }) => [g.cumsum(axis, { reverse: !reverse })],
})

/** exp(x) / Σ exp(x) along an axis. */
export const softmax = op<{ axis: number }>('softmax', {
  shape: (inputs) => reduced('softmax', 'floats')(inputs, { axes: [] }),
  lower: (b, [x], { attrs }) => b.emit('Softmax', [x as string], { axis: attrs.axis }),
  vjp: (g, _inputs, y, { axis }) => {
    const gy = g.mul(y)
    return [gy.sub(y.mul(gy.sum(axis, true)))]
  },
})
