import type { DType } from '../dtype.ts'
import { ArgumentError } from '../errors.ts'
import { build, type Tensor } from '../graph.ts'
import { full } from '../leaves.ts'
import { type Shape, showShape, sizeOf } from '../shape.ts'
import { convInputGrad } from './conv.ts'
import { where } from './elementwise.ts'
import { isNumber, withNaN } from './nan.ts'
import { at, checkDTypes, op } from './op.ts'
import { spread } from './spread.ts'
import { type ConvAttrs, onnxConv, windowCount } from './window.ts'

/** Windows over all spatial axes, each channel by itself. */
export type PoolAttrs = ConvAttrs & { readonly kernel: Shape }

const pooled =
  (name: string) =>
  (inputs: readonly Tensor[], { kernel, ...attrs }: PoolAttrs) => {
    const x = at(inputs, 0)
    const place = `${name} of ${x.describe()} ${showShape(x.shape)}`
    checkDTypes(name, inputs, 'floats')
    if (x.rank !== kernel.length + 2 || kernel.length === 0 || kernel.length > 3)
      throw new ArgumentError(`${place}: a window ${showShape(kernel)} needs ${kernel.length + 2} axes`)
    const counts = windowCount(place, x.shape.slice(2), kernel, attrs)
    if (attrs.groups !== 1) throw new ArgumentError(`${place}: a pool has no groups`)
    if (
      name === 'maxPool' &&
      kernel.some((n, i) => Math.max(at(attrs.before, i), at(attrs.after, i)) > at(attrs.dilation, i) * (n - 1))
    )
      throw new ArgumentError(`${place}: a window ${showShape(kernel)} would hold nothing but padding`)
    return { shape: [at(x.shape, 0), at(x.shape, 1), ...counts], dtype: x.dtype }
  }

const onnxPool = ({ kernel, ...attrs }: PoolAttrs) => {
  const { group: _, ...shared } = onnxConv(attrs, kernel)
  return shared
}

/** Means of windows; padding counts as zeros, as in PyTorch. */
export const avgPool = op<PoolAttrs>('avgPool', {
  shape: pooled('avgPool'),
  lower: (b, inputs, { attrs }) => b.emit('AveragePool', inputs, { ...onnxPool(attrs), count_include_pad: 1 }),
  vjp: (g, inputs, _y, { kernel, ...attrs }) => {
    const x = at(inputs, 0)
    const unpadded = [...attrs.before, ...attrs.after].every((n) => n === 0)
    const tiles =
      unpadded && x.shape.slice(2).every((n, i) => attrs.stride[i] === kernel[i] && n === at(g.shape, i + 2) * at(kernel, i))
    if (tiles) return [g.upsample(kernel).mul(1 / sizeOf(kernel))]
    const channels = at(x.shape, 1)
    const weight = full([channels, 1, ...kernel], 1 / sizeOf(kernel), x.dtype)
    return [build(convInputGrad, [g, weight], { ...attrs, groups: channels, size: x.shape.slice(2) })]
  },
})

/** Windows side by side. */
const sideBySide = (kernel: Shape): PoolAttrs => ({
  kernel,
  stride: kernel,
  dilation: kernel.map(() => 1),
  before: kernel.map(() => 0),
  after: kernel.map(() => 0),
  groups: 1,
})

/** Greatest elements of windows; NaN where a window has one, which ONNX Runtime's kernel ignores. The gradient goes to the first of them in row-major order, as in PyTorch. */
export const maxPool = op<PoolAttrs>('maxPool', {
  shape: pooled('maxPool'),
  lower: (b, operands, { inputs, attrs, dtype }) => {
    const sound = b.value(isNumber(at(inputs, 0)).neg())
    const found = b.emit('MaxPool', operands, onnxPool(attrs))
    return withNaN(b, found, dtype, b.emit('Neg', [b.emit('MaxPool', [sound], onnxPool(attrs))]))
  },
  vjp: (g, inputs, y, { kernel, stride, dilation, before, after }) => {
    const x = at(inputs, 0)
    // NaN equals nothing, so here it is a number that is greater than others.
    const comparable = (z: Tensor) => build(where, [z.eq(z), z, z.like(Infinity)])
    const padded = comparable(x).pad([0, 0, ...before], [0, 0, ...after], -Infinity)
    const greatest = comparable(y)
    let open = full(g.shape, 1, g.dtype)
    let total: Tensor | undefined
    for (let tap = 0; tap < sizeOf(kernel); tap++) {
      const offset = unravel(tap, kernel).map((k, i) => k * at(dilation, i))
      const ends = offset.map((start, i) => start + (at(g.shape, i + 2) - 1) * at(stride, i) + 1)
      const met = offset.reduce((part, start, i) => part.slice(i + 2, start, at(ends, i), at(stride, i)), padded)
      const hit = met.eq(greatest).cast(g.dtype).mul(open)
      open = open.sub(hit)
      const back = spreadBack(g.mul(hit), offset, stride, padded.shape.slice(2))
      total = total ? total.add(back) : back
    }
    const inner = total as Tensor
    return [before.reduce((part, start, i) => part.slice(i + 2, start, start + at(x.shape, i + 2)), inner)]
  },
})

/** Elements put `stride` apart from `offset` on, in zeros of the spatial size given. */
function spreadBack(x: Tensor, offset: Shape, stride: Shape, size: Shape): Tensor {
  return offset.reduce((part, start, i) => {
    const axis = i + 2
    const reach = (at(part.shape, axis) - 1) * at(stride, i) + 1
    return spread(part, axis, at(stride, i), reach).padAxis(axis, start, at(size, i) - start - reach)
  }, x)
}

function unravel(index: number, shape: Shape): number[] {
  const out: number[] = []
  for (const n of [...shape].reverse()) {
    out.unshift(index % n)
    index = Math.floor(index / n)
  }
  return out
}

/** What ONNX Runtime's Resize takes. */
const resizable: ReadonlySet<DType> = new Set(['f32', 'f16', 'i32', 'u8'])

/** The same by an axis of copies beside each spatial one. */
function repeated(x: Tensor, factors: Shape): Tensor {
  const beside = (shape: Shape, copies: Shape) => [...shape.slice(0, 2), ...copies.flatMap((f, i) => [at(shape, i + 2), f])]
  const apart = x.reshape(
    beside(
      x.shape,
      factors.map(() => 1),
    ),
  )
  return apart.expand(beside(x.shape, factors)).reshape(x.shape.map((n, i) => (i < 2 ? n : n * at(factors, i - 2))))
}

/** Each element repeated `factors` times along each spatial axis. */
export const upsample = op<{ factors: Shape }>('upsample', {
  shape: (inputs, { factors }) => {
    const x = at(inputs, 0)
    if (
      x.rank !== factors.length + 2 ||
      factors.length === 0 ||
      factors.length > 3 ||
      factors.some((f) => f < 1 || !Number.isInteger(f))
    ) {
      throw new ArgumentError(
        `upsample: ${showShape(factors)} are not whole factors for the spatial axes of ${x.describe()} ${showShape(x.shape)}`,
      )
    }
    return { shape: x.shape.map((n, i) => (i < 2 ? n : n * at(factors, i - 2))), dtype: x.dtype }
  },
  lower: (b, [x], node) => {
    if (!resizable.has(node.dtype)) return b.value(repeated(at(node.inputs, 0), node.attrs.factors))
    return b.emit('Resize', [x as string, '', '', b.ints(node.shape)], {
      mode: 'nearest',
      nearest_mode: 'floor',
      coordinate_transformation_mode: 'asymmetric',
    })
  },
  vjp: (g, _inputs, _y, { factors }) => [build(avgPool, [g], sideBySide(factors)).mul(sizeOf(factors))],
})
