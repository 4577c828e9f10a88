import { isFloat } from '../dtype.ts'
import { ArgumentError, ShapeError } from '../errors.ts'
import type { Tensor } from '../graph.ts'
import { broadcastShapes, range, sameShape, showShape } from '../shape.ts'
import { at, checkDTypes, op } from './op.ts'
import { quantizedLinear } from './quantized.ts'

/** Which operands are read with their last two axes swapped. */
export interface MatmulAttrs {
  readonly transA: boolean
  readonly transB: boolean
}

/**
 * [.., N, K] · [.., K, M] → [.., N, M]; leading axes broadcast. Its gradients are products of the same kind. A bias [M]
 * may be added to the rows of a product without leading axes.
 */
export const matmul = op<MatmulAttrs>('matmul', {
  shape: (inputs, { transA, transB }) => {
    const [a, b] = [at(inputs, 0), at(inputs, 1)]
    const place = `matmul of ${a.describe()} ${showShape(a.shape)} and ${b.describe()} ${showShape(b.shape)}`
    if (a.rank < 2 || b.rank < 2) throw new ArgumentError(`${place}: both need at least two axes; reshape a vector to [1, n]`)
    checkDTypes('matmul', inputs, 'wide')
    const [n, k] = lastTwo(a, transA)
    const [k2, m] = lastTwo(b, transB)
    const bias = inputs[2]
    if (bias && !(a.rank === 2 && b.rank === 2 && sameShape(bias.shape, [m]))) {
      throw new ShapeError(`${place}: the bias ${showShape(bias.shape)} must be [${m}], and no leading axes`)
    }
    if (k !== k2) throw new ShapeError(`${place}${transA || transB ? ' (transposed)' : ''}: inner sizes ${k} and ${k2} differ`)
    return { shape: [...broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2), place), n, m], dtype: a.dtype }
  },
  lower: (b, operands, { inputs, attrs: { transA, transB } }) => {
    const [left, right] = [at(inputs, 0), at(inputs, 1)]
    const quantized = !transA && transB ? quantizedLinear(b, left, right, operands[2]) : undefined
    if (quantized) return quantized
    if (!isFloat(left.dtype)) {
      // Only the plain product has kernels for integers.
      const product = b.emit('MatMul', [b.value(transA ? swap(left) : left), b.value(transB ? swap(right) : right)])
      return inputs.length > 2 ? b.emit('Add', [product, at(operands, 2)]) : product
    }
    const flags = { transA: transA ? 1 : 0, transB: transB ? 1 : 0 }
    if (inputs.length > 2) return b.emit('Gemm', operands, flags)
    if (!transA && !transB) return b.emit('MatMul', operands)
    if (left.rank === 2 && right.rank === 2) return b.emit('Gemm', operands, flags)
    if (b.target === 'cpu') return b.emit('FusedMatMul', operands, flags, 'com.microsoft')
    return b.value((transA ? swap(left) : left).matmul(transB ? swap(right) : right))
  },
  vjp: (g, inputs, _y, { transA, transB }) => {
    const [a, b] = [at(inputs, 0), at(inputs, 1)]
    const ga = transA ? b.matmul(g, { transA: transB, transB: true }) : g.matmul(b, { transB: !transB })
    const gb = transB ? g.matmul(a, { transA: true, transB: transA }) : a.matmul(g, { transA: !transA })
    const forBias = inputs[2] ? [g.sumTo(inputs[2].shape)] : []
    return [ga.sumTo(a.shape), gb.sumTo(b.shape), ...forBias]
  },
})

function lastTwo(x: Tensor, swapped: boolean): [number, number] {
  const [rows, columns] = [at(x.shape, x.rank - 2), at(x.shape, x.rank - 1)]
  return swapped ? [columns, rows] : [rows, columns]
}

const swap = (x: Tensor): Tensor => x.transpose(...range(x.rank - 2), x.rank - 1, x.rank - 2)
