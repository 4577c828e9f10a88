import type { Lowering, Packing, Tensor } from '../graph.ts'
import type { Quantization } from '../onnx/types.ts'
import type { Shape } from '../shape.ts'
import { at } from './op.ts'
import { type ConvAttrs, onnxConv } from './window.ts'

/*
 * Lowering quantises layers; networks know nothing of it. A layer is quantised where its weight is a fixed
 * parameter and large enough to matter. The first and the last convolution and the time embeddings stay in float.
 */

const LEAST_WIDTH = 64
/** Products of fewer rows stay in float, where they are fast: those of time embeddings have one row a picture. */
const FEW_ROWS = 16
/** Larger weights are quantised whatever the number of rows: modulation layers are a quarter of FLUX. */
const LARGE_WEIGHT = 2 ** 21
/** Elements that share a scale in 4 bits. */
const GROUP = 32

/** Whether a convolution can run in integers: two axes, no groups, as many channels as pay. */
export function canQuantizeConv({ inputs, attrs }: Tensor<ConvAttrs>): boolean {
  const w = at(inputs, 1)
  return w.rank === 4 && attrs.groups === 1 && w.dtype === 'f32' && Math.min(at(w.shape, 0), at(w.shape, 1)) >= LEAST_WIDTH
}

/** Whether a product x [N, K] · weightᵀ [M, K] can take its weight in few bits. */
function canQuantizeLinear(x: Tensor, w: Tensor): boolean {
  if (x.rank !== 2 || w.rank !== 2 || w.dtype !== 'f32' || Math.min(...w.shape) < LEAST_WIDTH) return false
  return !hasFewRows(x) || w.size >= LARGE_WEIGHT
}

const hasFewRows = (x: Tensor) => at(x.shape, 0) < FEW_ROWS

/** A convolution in the quantisation that the graph is lowered with, if any. */
export function quantizedConv(b: Lowering, node: Tensor<ConvAttrs>): string | undefined {
  const { quantization } = b
  if (!quantization || !canQuantizeConv(node)) return undefined
  return quantization.kind === 'int8' ? int8Conv(b, node, quantization) : storedConv(b, node)
}

/** A product x · weightᵀ, and a bias [M] if any, likewise. */
export function quantizedLinear(b: Lowering, x: Tensor, w: Tensor, bias: string | undefined): string | undefined {
  const { quantization } = b
  if (!quantization || !canQuantizeLinear(x, w)) return undefined
  if (quantization.kind === 'int4') return nbitLinear(b, x, w, bias, 4, quantization.saturates)
  // Products of a row or two modulate a whole picture: their activations stay in float.
  return hasFewRows(x) ? nbitLinear(b, x, w, bias, 8, true) : int8Linear(b, x, w, bias, quantization.saturates)
}

/**
 * The greatest weight in integers. Kernels without VNNI add pairs of products in 16 bits and saturate: 255 · 64 · 2 still
 * fits, 255 · 127 · 2 does not.
 */
const limitOf = (saturates: boolean) => (saturates ? 64 : 127)

/** Quantises to u8 over a range that holds 0, so that padding is exact. */
function affine([least, greatest]: readonly [number, number]): { scale: number; zero: number } {
  const [lo, hi] = [Math.min(least, 0), Math.max(greatest, 0)]
  const scale = Math.fround((hi - lo) / 255) || 1
  return { scale, zero: Math.round(-lo / scale) }
}

function int8Conv(
  b: Lowering,
  { inputs, attrs }: Tensor<ConvAttrs>,
  { ranges, saturates }: Quantization & { kind: 'int8' },
): string | undefined {
  const [x, w, bias] = [at(inputs, 0), at(inputs, 1), inputs[2]]
  const name = b.storedName(w)
  const range = name === undefined ? undefined : ranges.get(name)
  if (!range) return undefined
  const [from, to] = [affine([range[0], range[1]]), affine([range[2], range[3]])]
  const rows = at(w.shape, 0)
  const integers = perRow(w.shape, limitOf(saturates))
  const made = b.packed(w, {
    form: `${integers.form}, bias by ${from.scale}`,
    results: [...integers.results, { type: 'i32', shape: [rows] }],
    ...(bias && { needs: [bias] }),
    fill: (values, made, [biasValues]) => {
      integers.fill(values, made, [])
      const [, scales, sums] = made as [Int8Array, Float32Array, Int32Array]
      for (let i = 0; i < rows; i++)
        sums[i] = biasValues ? Math.round((biasValues[i] as number) / (from.scale * (scales[i] as number))) : 0
    },
  })
  if (!made) return undefined
  // Integer convolutions are fast with channels last, which only ONNX Runtime can choose.
  b.leaveLayout()
  const [weight, scales, sums] = made as [string, string, string]
  const { scale, zero } = from
  const u8 = ({ scale, zero }: typeof from) => [b.scalar(scale, 'f32'), b.scalar(zero, 'u8')] as const
  const picture = b.cached(x, `u8 ${scale} ${zero}`, () => b.emit('QuantizeLinear', [b.value(x), ...u8(from)]))
  const zeros = b.raw({ type: 's8', shape: [rows], data: new Int8Array(rows) })
  const operands = [picture, ...u8(from), weight, scales, zeros, ...u8(to), sums]
  return b.emit('DequantizeLinear', [b.emit('QLinearConv', operands, onnxConv(attrs, w.shape.slice(2))), ...u8(to)])
}

/** A convolution in float whose weight is stored in 8 bits and widened at every run. */
function storedConv(b: Lowering, { inputs, attrs }: Tensor<ConvAttrs>): string | undefined {
  const [x, w, bias] = [at(inputs, 0), at(inputs, 1), inputs[2]]
  const made = b.packed(w, perRow(w.shape, 127))
  if (!made) return undefined
  const [integers, scales] = made as [string, string]
  const weight = b.emit('DequantizeLinear', [integers, after(b, x, scales)], { axis: 0 })
  return b.emit('Conv', [b.value(x), weight, ...(bias ? [b.value(bias)] : [])], onnxConv(attrs, w.shape.slice(2)))
}

/** A constant that depends on x: ONNX Runtime would otherwise dequantise the weights of every layer first, and keep them all. */
function after(b: Lowering, x: Tensor, constant: string): string {
  const first = b.cached(x, 'is there', () => {
    const [zero, one] = [b.ints(x.shape.map(() => 0)), b.ints(x.shape.map(() => 1))]
    const element = b.emit('Reshape', [b.emit('Slice', [b.value(x), zero, one]), b.ints([1])])
    return b.emit('Equal', [element, element])
  })
  return b.emit('Where', [first, constant, constant])
}

/** Activations get a range at each product: ONNX Runtime's kernel measures it as fast as it would read a fixed one. */
function int8Linear(b: Lowering, x: Tensor, w: Tensor, bias: string | undefined, saturates: boolean): string | undefined {
  const [M, K] = w.shape as [number, number]
  const { form, results, fill } = perRow(w.shape, limitOf(saturates))
  const made = b.packed(w, {
    form: `${form}, transposed`,
    results: results.with(0, { type: 's8', shape: [K, M] }),
    fill: (values, [out, scales]) => {
      const integers = new Int8Array(values.length)
      fill(values, [integers, scales as Float32Array], [])
      transpose(integers, out as Int8Array, M, K)
    },
  })
  if (!made) return undefined
  const zeros = b.raw({ type: 's8', shape: [M], data: new Int8Array(M) })
  return b.emit('DynamicQuantizeMatMul', [b.value(x), ...made, zeros, ...(bias ? [bias] : [])], {}, 'com.microsoft')
}

/** Weights [rows, …] as integers from −limit to limit, and a scale for each row. */
export const perRow = (shape: Shape, limit: number): Packing => ({
  form: `rows to ${limit}`,
  results: [
    { type: 's8', shape },
    { type: 'f32', shape: [at(shape, 0)] },
  ],
  fill: (values, [integers, scales]) => fillPerRow(values, limit, integers as Int8Array, scales as Float32Array),
})

function fillPerRow(values: Float32Array, limit: number, integers: Int8Array, scales: Float32Array): void {
  const rows = scales.length
  const width = values.length / rows
  for (let row = 0; row < rows; row++) {
    const [start, end] = [row * width, (row + 1) * width]
    let greatest = 0
    for (let i = start; i < end; i++) {
      const size = Math.abs(values[i] as number)
      if (size > greatest) greatest = size
    }
    const scale = Math.fround(greatest / limit) || 1
    const inverse = 1 / scale
    scales[row] = scale
    // To the nearest, without a branch that hundreds of millions of weights would mispredict.
    for (let i = start; i < end; i++) integers[i] = (((values[i] as number) * inverse + 128.5) | 0) - 128
  }
}

/** [rows, columns] → [columns, rows], in tiles that fit the cache. */
function transpose(values: Int8Array, out: Int8Array, rows: number, columns: number): void {
  const tile = 64
  for (let top = 0; top < rows; top += tile)
    for (let left = 0; left < columns; left += tile)
      for (let row = top; row < Math.min(top + tile, rows); row++)
        for (let column = left; column < Math.min(left + tile, columns); column++) {
          out[column * rows + row] = values[row * columns + column] as number
        }
}

/** Weights in 4 or 8 bits, in groups with a scale each. Integer arithmetic, unless `floats`: where it is exact and fast. */
function nbitLinear(
  b: Lowering,
  x: Tensor,
  w: Tensor,
  bias: string | undefined,
  bits: 4 | 8,
  floats: boolean,
): string | undefined {
  const [M, K] = w.shape as [number, number]
  if (K % GROUP !== 0) return undefined
  const groups = [M, K / GROUP, GROUP] as const
  const made = b.packed(w, bits === 4 ? nibbles(groups) : bytes(groups))
  if (!made) return undefined
  const attributes = { K, N: M, bits, block_size: GROUP, accuracy_level: floats ? 0 : 4 }
  return b.emit('MatMulNBits', [b.value(x), ...made, ...(bias ? ['', '', bias] : [])], attributes, 'com.microsoft')
}

/** Groups of weights in 8 bits, each with a scale: w ≈ scale · (q − 128) with q from 1 to 255. */
export const bytes = ([rows, groups, size]: readonly [number, number, number]): Packing => ({
  form: `8 bits by ${size}`,
  results: [
    { type: 'u8', shape: [rows, groups, size] },
    { type: 'f32', shape: [rows * groups] },
  ],
  fill: (values, [packed, scales]) => {
    const integers = new Int8Array(values.length)
    fillPerRow(values, 127, integers, scales as Float32Array)
    for (let i = 0; i < integers.length; i++) (packed as Uint8Array)[i] = (integers[i] as number) + 128
  },
})

/**
 * Groups of weights in 4 bits, two in a byte, the first in its low half: w ≈ scale · (q − 8) with q from 0 to 15. The scale's
 * sign is that of the element of greatest size, which becomes −8.
 */
export const nibbles = ([rows, groups, size]: readonly [number, number, number]): Packing => ({
  form: `4 bits by ${size}`,
  results: [
    { type: 'u8', shape: [rows, groups, size / 2] },
    { type: 'f32', shape: [rows * groups] },
  ],
  fill: (values, [packed, scales]) => fillNibbles(values, size, packed as Uint8Array, scales as Float32Array),
})

function fillNibbles(values: Float32Array, size: number, packed: Uint8Array, scales: Float32Array): void {
  for (let group = 0; group < scales.length; group++) {
    const start = group * size
    let extreme = 0
    for (let i = start; i < start + size; i++) {
      const value = values[i] as number
      if (Math.abs(value) > Math.abs(extreme)) extreme = value
    }
    const scale = Math.fround(extreme / -8) || 1
    scales[group] = scale
    const code = (i: number) => Math.min(15, Math.round((values[i] as number) / scale) + 8)
    for (let i = start; i < start + size; i += 2) packed[i / 2] = code(i) | (code(i + 1) << 4)
  }
}
