import { ArgumentError, ShapeError } from '../errors.ts'
import { broadcastShapes, range, showShape } from '../shape.ts'
import type { Tensor } from '../tensor.ts'
import { at, checkDTypes, op } from './op.ts'

/** Which operands are read with their last two axes swapped. */
export interface MatmulAttrs {
  readonly transA: boolean
  readonly transB: boolean
}

/** [.., N, K] · [.., K, M] → [.., N, M]; leading axes broadcast. Its gradients are products of the same kind. */
export const matmul = op<MatmulAttrs>('matmul', {
  shape: (inputs, { transA, transB }) => {
    const [a, b] = [at(inputs, 0), at(inputs, 1)]
    const place = `matmul of ${a.describe()} ${showShape(a.shape)} and ${b.describe()} ${showShape(b.shape)}`
    if (a.rank < 2 || b.rank < 2) throw new ArgumentError(`${place}: both need at least two axes; reshape a vector to [1, n]`)
    checkDTypes('matmul', inputs, 'numbers')
    const [n, k] = lastTwo(a, transA)
    const [k2, m] = lastTwo(b, transB)
    if (k !== k2) throw new ShapeError(`${place}${transA || transB ? ' (transposed)' : ''}: inner sizes ${k} and ${k2} differ`)
    return { shape: [...broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2), place), n, m], dtype: a.dtype }
  },
  lower: (b, [x, y], { inputs, attrs: { transA, transB } }) => {
    const [left, right] = [at(inputs, 0), at(inputs, 1)]
    const operands = [x as string, y as string]
    if (!transA && !transB) return b.emit('MatMul', operands)
    const flags = { transA: transA ? 1 : 0, transB: transB ? 1 : 0 }
    if (left.rank === 2 && right.rank === 2) return b.emit('Gemm', operands, flags)
    if (b.target === 'cpu') return b.emit('FusedMatMul', operands, flags, 'com.microsoft')
    return b.value((transA ? swap(left) : left).matmul(transB ? swap(right) : right))
  },
  vjp: (g, inputs, _y, { transA, transB }) => {
    const [a, b] = [at(inputs, 0), at(inputs, 1)]
    const ga = transA ? b.matmul(g, { transA: transB, transB: true }) : g.matmul(b, { transB: !transB })
    const gb = transB ? g.matmul(a, { transA: true, transB: transA }) : a.matmul(g, { transA: !transA })
    return [ga.sumTo(a.shape), gb.sumTo(b.shape)]
  },
})

function lastTwo(x: Tensor, swapped: boolean): [number, number] {
  const [rows, columns] = [at(x.shape, x.rank - 2), at(x.shape, x.rank - 1)]
  return swapped ? [columns, rows] : [rows, columns]
}

const swap = (x: Tensor): Tensor => x.transpose(...range(x.rank - 2), x.rank - 1, x.rank - 2)
