import { ArgumentError, ShapeError } from '../errors.ts'
import { build, type Tensor } from '../graph.ts'
import { checkShape, range, type Shape, sameShape, showShape, sizeOf } from '../shape.ts'
import { blockedConv, blockedInputGrad, blockedWeightGrad, canBlockWeightGrad } from './blocked/direct.ts'
import { canBlock, keepBlocked, paysToBlock, unblocked } from './blocked/layout.ts'
import { canWinograd, canWinogradWeightGrad, winogradConv, winogradInputGrad, winogradWeightGrad } from './blocked/winograd.ts'
import { concat } from './move.ts'
import { at, checkDTypes, op } from './op.ts'
import { quantizedConv } from './quantized.ts'
import { spread } from './spread.ts'
import { type ConvAttrs, onnxConv, windowCount } from './window.ts'

/** Pixels of a batch from which on packing a weight costs less than the blocked kernels save. */
const LARGE_PICTURE = 4096

/** Cross-correlation: x [B, C, …], weight [O, C/groups, …kernel], bias [O] if any → [B, O, …]. One to three spatial axes. */
export const conv = op<ConvAttrs>('conv', {
  shape: (inputs, attrs) => {
    const [x, w] = [at(inputs, 0), at(inputs, 1)]
    const place = `conv of ${x.describe()} ${showShape(x.shape)} by ${w.describe()} ${showShape(w.shape)}`
    checkRank(place, inputs)
    const counts = windowCount(place, x.shape.slice(2), w.shape.slice(2), attrs)
    const [channels, out] = [at(x.shape, 1), at(w.shape, 0)]
    if (channels !== at(w.shape, 1) * attrs.groups || out % attrs.groups !== 0) {
      throw new ShapeError(
        `${place}: the weight takes ${at(w.shape, 1) * attrs.groups} channels in ${attrs.groups} groups, x has ${channels}`,
      )
    }
    const bias = inputs[2]
    if (bias && !sameShape(bias.shape, [out]))
      throw new ShapeError(`${place}: the bias is ${showShape(bias.shape)}, expected [${out}]`)
    return { shape: [at(x.shape, 0), out, ...counts], dtype: x.dtype }
  },
  lower: (b, inputs, node) => {
    const [x, w] = [at(node.inputs, 0), at(node.inputs, 1)]
    if (b.target === 'webgpu' && x.rank === 5 && node.attrs.groups > 1) return b.value(byGroup(x, w, node.inputs[2], node.attrs))
    const quantized = quantizedConv(b, node)
    if (quantized) return quantized
    if (node.dtype === 'f32' && canBlock(b, x.shape, w.shape, node.attrs)) {
      const fixed = b.isConstant(w)
      // A weight that is cast from 16 bits at every run is packed at every run too, which pays for large pictures only.
      const kept = !fixed && b.storedName(w) !== undefined
      if (kept && sizeOf(node.shape) < LARGE_PICTURE * at(w.shape, 0))
        return b.emit('Conv', inputs, onnxConv(node.attrs, w.shape.slice(2)))
      const winograd = canWinograd(b, x.shape, w.shape, node.attrs, fixed)
      if (fixed && !b.canPack(w)) b.leaveLayout()
      else if (winograd || !fixed || paysToBlock(node.shape, w.shape)) {
        const y = winograd ? winogradConv(b, x, w, inputs[2]) : blockedConv(b, x, w, node.attrs, inputs[2])
        return unblocked(b, keepBlocked(b, node, y), at(w.shape, 0))
      }
    }
    return b.emit('Conv', inputs, onnxConv(node.attrs, w.shape.slice(2)))
  },
  vjp: (g, inputs, _y, attrs) => {
    const [x, w, bias] = [at(inputs, 0), at(inputs, 1), inputs[2]]
    const forBias = bias ? [g.sum([0, ...range(g.rank).slice(2)])] : []
    return [inputGrad(g, w, x.shape.slice(2), attrs), weightGrad(x, g, w.shape.slice(2), attrs), ...forBias]
  },
})

const inputGrad = (g: Tensor, w: Tensor, size: Shape, attrs: ConvAttrs): Tensor =>
  build(convInputGrad, [g, w], { ...attrs, size })
const weightGrad = (x: Tensor, g: Tensor, kernel: Shape, attrs: ConvAttrs): Tensor =>
  build(convWeightGrad, [x, g], { ...attrs, kernel })

/** A grouped convolution as one of each group: WebGPU's Conv of three axes knows no groups. */
function byGroup(x: Tensor, w: Tensor, bias: Tensor | undefined, attrs: ConvAttrs): Tensor {
  const { groups } = attrs
  const weights = w.split(groups, 0)
  const parts = x.split(groups, 1).map((part, i) => build(conv, [part, at(weights, i)], { ...attrs, groups: 1 }))
  const y = build(concat, parts, { axis: 1 })
  return bias ? y.add(bias.reshape([bias.size, 1, 1, 1])) : y
}

/** The transpose of `conv` as a map of x: g [B, O, …], weight [O, C/groups, …] → [B, C, …size]. */
export const convInputGrad = op<ConvAttrs & { size: Shape }>('convInputGrad', {
  shape: (inputs, { size, ...attrs }) => {
    const [g, w] = [at(inputs, 0), at(inputs, 1)]
    const place = `transposed conv of ${g.describe()} ${showShape(g.shape)} by ${w.describe()} ${showShape(w.shape)}`
    checkRank(place, inputs)
    checkShape(place, size)
    if (size.length !== g.rank - 2) throw new ArgumentError(`${place}: a result of ${showShape(size)} needs ${g.rank - 2} sizes`)
    const positions = windowCount(place, size, w.shape.slice(2), attrs)
    if (
      at(g.shape, 1) % attrs.groups !== 0 ||
      at(g.shape, 1) !== at(w.shape, 0) ||
      positions.some((n, i) => n !== g.shape[i + 2])
    ) {
      throw new ShapeError(
        `${place}: for a result of ${showShape(size)} the input must be [B, ${at(w.shape, 0)}, ${positions.join(', ')}]`,
      )
    }
    return { shape: [at(g.shape, 0), at(w.shape, 1) * attrs.groups, ...size], dtype: g.dtype }
  },
  lower: (b, inputs, node) => {
    const { size, ...attrs } = node.attrs
    const [g, w] = [at(node.inputs, 0), at(node.inputs, 1)]
    const kernel = w.shape.slice(2)
    const flipped = flippedAttrs(kernel, attrs)
    const blocks = g.dtype === 'f32'
    if (blocks && canWinograd(b, g.shape, [at(w.shape, 1), at(w.shape, 0), ...kernel], attrs)) return winogradInputGrad(b, g, w)
    if (blocks && flipped && !b.isConstant(w) && canBlock(b, g.shape, w.shape, attrs)) return blockedInputGrad(b, g, w, flipped)
    // WebGPU's ConvTranspose has no third axis, and in half precision is wrong above 2048 positions (ONNX Runtime 1.30).
    const lacks = kernel.length === 3 || (g.dtype === 'f16' && sizeOf(size) > 2048)
    if (b.target === 'webgpu' && lacks) return b.value(asConvolution(g, w, size, attrs))
    const outputPadding = size.map((n, i) => {
      const reach = at(attrs.dilation, i) * (at(kernel, i) - 1) + 1
      return n - (at(attrs.stride, i) * (at(g.shape, i + 2) - 1) + reach - at(attrs.before, i) - at(attrs.after, i))
    })
    return b.emit('ConvTranspose', inputs, { ...onnxConv(attrs, kernel), output_padding: outputPadding })
  },
  vjp: (g, inputs, _y, { size: _, ...attrs }) => {
    const [y, w] = [at(inputs, 0), at(inputs, 1)]
    return [build(conv, [g, w], attrs), weightGrad(g, y, w.shape.slice(2), attrs)]
  },
})

/**
 * A transposed convolution as a plain one: zeros between the elements of g, the kernel flipped, and its inputs and outputs
 * swapped within each group.
 */
function asConvolution(g: Tensor, w: Tensor, size: Shape, { stride, dilation, before, groups }: ConvAttrs): Tensor {
  const kernel = w.shape.slice(2)
  const [out, channels] = [at(w.shape, 0), at(w.shape, 1)]
  const axes = range(kernel.length)
  const placed = axes.reduce((part, i) => {
    const reach = (at(part.shape, i + 2) - 1) * at(stride, i) + 1
    const window = at(dilation, i) * (at(kernel, i) - 1)
    const lead = window - at(before, i)
    const whole = spread(part, i + 2, at(stride, i), reach).padAxis(
      i + 2,
      Math.max(0, lead),
      Math.max(0, at(size, i) + window - lead - reach),
    )
    const start = Math.max(0, -lead)
    return whole.slice(i + 2, start, start + at(size, i) + window)
  }, g)
  const perGroup = w.reshape([groups, out / groups, channels, ...kernel])
  const swapped = perGroup.transpose(0, 2, 1, ...axes.map((i) => i + 3)).reshape([groups * channels, out / groups, ...kernel])
  const flipped = axes.reduce((part, i) => part.flip(i + 2), swapped)
  const none = axes.map(() => 0)
  return build(conv, [placed, flipped], { stride: axes.map(() => 1), dilation, before: none, after: none, groups })
}

/** At stride 1 the transpose of a convolution is one with the flipped kernel and the complementary padding. */
function flippedAttrs(kernel: Shape, attrs: ConvAttrs): ConvAttrs | undefined {
  if (attrs.stride.some((s) => s !== 1)) return undefined
  const complement = (padding: readonly number[]) => padding.map((p, i) => at(attrs.dilation, i) * (at(kernel, i) - 1) - p)
  const [before, after] = [complement(attrs.before), complement(attrs.after)]
  return [...before, ...after].some((p) => p < 0) ? undefined : { ...attrs, before, after }
}

/** The gradient of `conv` for its weight: x [B, C, …], g [B, O, …] → [O, C/groups, …kernel]; bilinear in both. */
export const convWeightGrad = op<ConvAttrs & { kernel: Shape }>('convWeightGrad', {
  shape: (inputs, { kernel, ...attrs }) => {
    const [x, g] = [at(inputs, 0), at(inputs, 1)]
    const place = `weight gradient of conv of ${x.describe()} ${showShape(x.shape)} and ${showShape(g.shape)}`
    checkRank(place, inputs)
    const positions = windowCount(place, x.shape.slice(2), kernel, attrs)
    if (at(x.shape, 1) % attrs.groups !== 0 || at(g.shape, 1) % attrs.groups !== 0)
      throw new ShapeError(`${place}: ${x.shape[1]} and ${g.shape[1]} channels do not split into ${attrs.groups} groups`)
    if (x.shape[0] !== g.shape[0] || positions.some((n, i) => n !== g.shape[i + 2])) {
      throw new ShapeError(`${place}: the windows are [${x.shape[0]}, O, ${positions.join(', ')}]`)
    }
    return { shape: [at(g.shape, 1), at(x.shape, 1) / attrs.groups, ...kernel], dtype: x.dtype }
  },
  lower: (b, _inputs, { inputs, attrs: { kernel, ...attrs } }) => {
    const [x, g] = [at(inputs, 0), at(inputs, 1)]
    const blocks = x.dtype === 'f32'
    if (blocks && canWinogradWeightGrad(b, x.shape, g.shape, kernel, attrs)) return winogradWeightGrad(b, x, g)
    if (blocks && canBlockWeightGrad(b, x.shape, g.shape, kernel, attrs)) return blockedWeightGrad(b, x, g, kernel, attrs)
    return b.value(shiftedProducts(x, g, kernel, attrs))
  },
  vjp: (g, inputs, _y, { kernel: _, ...attrs }) => {
    const [x, y] = [at(inputs, 0), at(inputs, 1)]
    return [inputGrad(y, g, x.shape.slice(2), attrs), build(conv, [x, g], attrs)]
  },
})

/** One matrix product for each element of the kernel: the outputs' cotangents against the inputs that it met. */
function shiftedProducts(x: Tensor, g: Tensor, kernel: Shape, attrs: ConvAttrs): Tensor {
  const { stride, dilation, before, after, groups } = attrs
  const [batch, channels, out] = [at(x.shape, 0), at(x.shape, 1), at(g.shape, 1)]
  const positions = g.shape.slice(2)
  const cells = sizeOf(positions)
  const padded = x.pad([0, 0, ...before], [0, 0, ...after])
  const rows = g.reshape([batch, groups, out / groups, cells])
  const taps = offsets(kernel).map((offset) => {
    const met = offset.reduce((part, k, i) => {
      const start = k * at(dilation, i)
      return part.slice(i + 2, start, start + (at(positions, i) - 1) * at(stride, i) + 1, at(stride, i))
    }, padded)
    const columns = met.reshape([batch, groups, channels / groups, cells])
    return rows
      .matmul(columns, { transB: true })
      .sum(0)
      .reshape([out, channels / groups, 1])
  })
  return build(concat, taps, { axis: 2 }).reshape([out, channels / groups, ...kernel])
}

/** Every index of an array of this shape, row-major. */
function offsets(shape: Shape): number[][] {
  return shape.reduce<number[][]>((list, n) => list.flatMap((head) => Array.from({ length: n }, (_, i) => [...head, i])), [[]])
}

function checkRank(place: string, inputs: readonly Tensor[]): void {
  const [x, w] = [at(inputs, 0), at(inputs, 1)]
  checkDTypes(place, inputs, 'floats')
  const n = x.rank - 2
  if (n < 1 || n > 3 || w.rank !== x.rank) {
    throw new ArgumentError(`${place}: x and weight need one to three spatial axes after batch and channels, the same number`)
  }
}
