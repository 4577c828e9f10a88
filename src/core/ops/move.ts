import { checkElement, isFloat } from '../dtype.ts'
import { ArgumentError, DTypeError, ShapeError } from '../errors.ts'
import { build, type Tensor } from '../graph.ts'
import { arange, isConstant } from '../leaves.ts'
import {
  axisOf,
  broadcastShapes,
  checkShape,
  isCount,
  isShape,
  range,
  type Shape,
  sameShape,
  showShape,
  sizeOf,
} from '../shape.ts'
import { at, checkDTypes, op } from './op.ts'
import { spread } from './spread.ts'

/** The same elements, row-major, in another shape. */
export const reshape = op<{ shape: Shape }>('reshape', {
  shape: (inputs, { shape }) => {
    const x = at(inputs, 0)
    if (sizeOf(shape) !== sizeOf(x.shape) || !isShape(shape)) {
      throw new ShapeError(`reshape: ${x.describe()} ${showShape(x.shape)} cannot become ${showShape(shape)}`)
    }
    return { shape, dtype: x.dtype }
  },
  lower: (b, [x], { attrs }) => b.emit('Reshape', [x as string, b.ints(attrs.shape)], { allowzero: 1 }),
  vjp: (g, inputs) => [g.reshape(at(inputs, 0).shape)],
})

/** Axes reordered: axis i of the result is axis perm[i] of x. */
export const transpose = op<{ perm: readonly number[] }>('transpose', {
  shape: (inputs, { perm }) => {
    const x = at(inputs, 0)
    if (
      !sameShape(
        [...perm].sort((a, b) => a - b),
        range(x.rank),
      )
    ) {
      throw new ArgumentError(`transpose: ${showShape(perm)} does not reorder the ${x.rank} axes of ${x.describe()}`)
    }
    return { shape: perm.map((axis) => at(x.shape, axis)), dtype: x.dtype }
  },
  lower: (b, [x], { attrs }) => b.emit('Transpose', [x as string], { perm: attrs.perm }),
  vjp: (g, _inputs, _y, { perm }) => [g.transpose(...range(perm.length).map((axis) => perm.indexOf(axis)))],
})

/** Axes of size 1 repeated, and new ones in front, by NumPy's broadcasting. */
export const expand = op<{ shape: Shape }>('expand', {
  shape: (inputs, { shape }) => {
    const x = at(inputs, 0)
    const place = `expand of ${x.describe()}`
    checkShape(place, shape)
    if (!sameShape(broadcastShapes(x.shape, shape, place), shape)) {
      throw new ShapeError(`${place}: ${showShape(x.shape)} does not expand to ${showShape(shape)}`)
    }
    return { shape, dtype: x.dtype }
  },
  lower: (b, [x], { attrs }) => b.emit('Expand', [x as string, b.ints(attrs.shape)]),
  vjp: (g, inputs) => [g.sumTo(at(inputs, 0).shape)],
})

/** One axis from `start` to before `end` in steps of `step` ≥ 1. */
export interface SliceAttrs {
  readonly axis: number
  readonly start: number
  readonly end: number
  readonly step: number
}

export const slice = op<SliceAttrs>('slice', {
  shape: (inputs, { axis, start, end, step }) => {
    const x = at(inputs, 0)
    const size = at(x.shape, axisOf(axis, x.rank, 'slice'))
    const whole = [start, end, step].every(Number.isSafeInteger)
    if (!whole || start < 0 || end > size || start >= end || step < 1) {
      throw new ArgumentError(
        `slice: ${start} to ${end} by ${step} does not lie in axis ${axis} of ${x.describe()} (size ${size})`,
      )
    }
    return { shape: x.shape.map((n, i) => (i === axis ? Math.ceil((end - start) / step) : n)), dtype: x.dtype }
  },
  lower: (b, [x], { attrs: { axis, start, end, step } }) =>
    b.emit('Slice', [x as string, b.ints([start]), b.ints([end]), b.ints([axis]), b.ints([step])]),
  vjp: (g, inputs, _y, { axis, start, step }) => {
    const size = at(at(inputs, 0).shape, axis)
    if (step === 1) return [g.padAxis(axis, start, size - start - at(g.shape, axis))]
    return [spread(g, axis, step, size - start).padAxis(axis, start, 0)]
  },
})

/** An axis in reverse order. */
export const flip = op<{ axis: number }>('flip', {
  shape: (inputs, { axis }) => {
    axisOf(axis, at(inputs, 0).rank, 'flip')
    return at(inputs, 0)
  },
  lower: (b, [x], { attrs: { axis } }) =>
    b.emit('Slice', [x as string, b.ints([-1]), b.ints([-(2 ** 31)]), b.ints([axis]), b.ints([-1])]),
  vjp: (g, _inputs, _y, { axis }) => [g.flip(axis)],
})

/** A constant put before and after every axis. */
export const pad = op<{ before: readonly number[]; after: readonly number[]; value: number }>('pad', {
  shape: (inputs, { before, after, value }) => {
    const x = at(inputs, 0)
    checkElement(`pad of ${x.describe()}`, value, x.dtype)
    if (![...before, ...after].every(isCount) || before.length !== x.rank || after.length !== x.rank) {
      throw new ArgumentError(
        `pad: ${showShape(before)} and ${showShape(after)} do not pad ${x.describe()} ${showShape(x.shape)}`,
      )
    }
    return { shape: x.shape.map((n, i) => n + at(before, i) + at(after, i)), dtype: x.dtype }
  },
  lower: (b, [x], { attrs, dtype }) =>
    b.emit('Pad', [x as string, b.ints([...attrs.before, ...attrs.after]), b.scalar(attrs.value, dtype)], { mode: 'constant' }),
  vjp: (g, inputs, _y, { before }) => {
    const x = at(inputs, 0)
    return [x.shape.reduce((out, n, i) => out.slice(i, at(before, i), at(before, i) + n), g)]
  },
})

/** Tensors laid end to end along an axis. */
export const concat = op<{ axis: number }>('concat', {
  shape: (inputs, { axis }) => {
    const first = at(inputs, 0)
    axisOf(axis, first.rank, 'concat')
    for (const x of inputs) {
      if (x.rank !== first.rank || x.shape.some((n, i) => i !== axis && n !== first.shape[i]) || x.dtype !== first.dtype) {
        throw new ShapeError(
          `concat along axis ${axis}: ${first.describe()} ${first.dtype}${showShape(first.shape)} and ` +
            `${x.describe()} ${x.dtype}${showShape(x.shape)} differ elsewhere`,
        )
      }
    }
    const total = inputs.reduce((n, x) => n + at(x.shape, axis), 0)
    return { shape: first.shape.map((n, i) => (i === axis ? total : n)), dtype: first.dtype }
  },
  lower: (b, inputs, { attrs }) => b.emit('Concat', inputs, { axis: attrs.axis }),
  vjp: (g, inputs, _y, { axis }) => {
    let start = 0
    return inputs.map((x) => {
      const n = at(x.shape, axis)
      start += n
      return g.slice(axis, start - n, start)
    })
  },
})

/**
 * Slices of an axis by index: the index's shape takes the axis's place. Indices lie in −size … size − 1, negative ones count
 * from the back; ONNX Runtime refuses others on the CPU when it runs.
 */
export const gather = op<{ axis: number }>('gather', {
  shape: (inputs, { axis }) => {
    const [x, index] = [at(inputs, 0), at(inputs, 1)]
    checkIndex('gather', index)
    const k = axisOf(axis, x.rank, 'gather')
    checkConstantIndex('gather', index, at(x.shape, k))
    return { shape: [...x.shape.slice(0, k), ...index.shape, ...x.shape.slice(k + 1)], dtype: x.dtype }
  },
  lower: (b, inputs, { attrs }) => b.emit('Gather', inputs, { axis: attrs.axis }),
  vjp: (g, inputs, _y, { axis }) => {
    const [x, index] = [at(inputs, 0), at(inputs, 1)]
    const picked = g.reshape([...x.shape.slice(0, axis), sizeOf(index.shape), ...x.shape.slice(axis + 1)])
    const front = [axis, ...range(x.rank).filter((i) => i !== axis)]
    const rows = scatterRows(picked.transpose(...front), index.reshape([sizeOf(index.shape)]), at(x.shape, axis))
    return [rows.transpose(...range(x.rank).map((i) => front.indexOf(i))), undefined]
  },
})

function checkIndex(name: string, index: Tensor): void {
  if (index.dtype !== 'i64' && index.dtype !== 'i32') {
    throw new DTypeError(`${name}: the index ${index.describe()} is ${index.dtype}; it must be i64 or i32`)
  }
}

const scatterRows = (updates: Tensor, index: Tensor, rows: number): Tensor => build(scatterAdd, [updates, index], { rows })

/** Throws where an index whose values are known points outside an axis. */
function checkConstantIndex(name: string, index: Tensor, size: number): void {
  if (!isConstant(index)) return
  for (const value of index.attrs.data as Int32Array | BigInt64Array) {
    if (value < -size || value >= size)
      throw new ArgumentError(`${name}: index ${value} is outside an axis of size ${size}: use ${-size} to ${size - 1}`)
  }
}

/**
 * Rows added up at their indices: updates [M, …], index [M] → [rows, …], zero where no index points. Indices are as in
 * `gather`: negative ones count from the back, and ONNX Runtime refuses those outside −rows … rows − 1 on the CPU.
 *
 * Never by ScatterND on the CPU: it adds from several threads without a lock and loses updates where indices repeat
 * (ONNX Runtime 1.30). ScatterElements runs on one thread, 25 ns an element; a product with the indices' one-hot rows
 * is faster while there are few rows.
 */
export const scatterAdd = op<{ rows: number }>('scatterAdd', {
  shape: (inputs, { rows }) => {
    const [updates, index] = [at(inputs, 0), at(inputs, 1)]
    checkIndex('scatterAdd', index)
    checkDTypes('scatterAdd', [updates], 'numbers')
    if (!isCount(rows)) throw new ArgumentError(`scatterAdd: ${rows} rows; their number is an integer from 0 on`)
    checkConstantIndex('scatterAdd', index, rows)
    if (updates.rank === 0 || index.rank !== 1 || index.shape[0] !== updates.shape[0]) {
      throw new ShapeError(
        `scatterAdd: ${showShape(updates.shape)} needs an index [${updates.shape[0]}], got ${showShape(index.shape)}`,
      )
    }
    return { shape: [rows, ...updates.shape.slice(1)], dtype: updates.dtype }
  },
  lower: (b, [updates], node) => {
    const { rows } = node.attrs
    const [source, index] = [at(node.inputs, 0), at(node.inputs, 1)]
    const count = index.size
    // The row that each index names, by a gather: it counts from the back and refuses what lies outside.
    const row = rows > 0 ? arange(rows, 'i64').gather(index, 0) : index.cast('i64')
    const column = row.reshape([count, ...range(source.rank - 1).map(() => 1)])
    if (b.target !== 'webgpu' && isFloat(node.dtype) && rows <= 1024 && rows * count <= 2 ** 22) {
      const hits = b.cached(index, `rows of ${rows} in ${node.dtype}`, () => {
        const same = arange(rows, 'i64')
          .reshape([rows, 1])
          .eq(column.reshape([1, count]))
        return b.value(same.cast(node.dtype))
      })
      const product = b.emit('MatMul', [hits, b.value(source.reshape([count, sizeOf(source.shape.slice(1))]))])
      return b.emit('Reshape', [product, b.ints(node.shape)], { allowzero: 1 })
    }
    if (b.target !== 'webgpu' && node.dtype === 'f16') return b.value(scatterRows(source.cast('f32'), index, rows).cast('f16'))
    const zeros = b.emit('Expand', [b.scalar(0, node.dtype), b.ints(node.shape)])
    if (b.target === 'webgpu') {
      return b.emit('ScatterND', [zeros, b.value(column.reshape([count, 1])), updates as string], { reduction: 'add' })
    }
    return b.emit('ScatterElements', [zeros, b.value(column.expand(source.shape)), updates as string], {
      axis: 0,
      reduction: 'add',
    })
  },
  vjp: (g, inputs) => [g.gather(at(inputs, 1), 0), undefined],
})
