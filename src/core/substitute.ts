import { ShapeError } from './errors.ts'
import { topologicalOrder } from './grad.ts'
import { sameShape, showShape } from './shape.ts'
import { Tensor } from './tensor.ts'

/**
 * The same outputs with some tensors of their graph replaced by others, of the same shapes and dtypes: a network is cut open
 * without tracing it again.
 */
export function substitute(outputs: readonly Tensor[], others: ReadonlyMap<Tensor, Tensor>): Tensor[] {
  for (const [x, other] of others) {
    if (sameShape(x.shape, other.shape) && x.dtype === other.dtype) continue
    throw new ShapeError(
      `substitute: ${x.describe()} is ${x.dtype}${showShape(x.shape)}, not ${other.dtype}${showShape(other.shape)}`,
    )
  }
  const made = new Map(others)
  for (const x of topologicalOrder(outputs)) {
    if (made.has(x)) continue
    const inputs = x.inputs.map((y) => made.get(y) as Tensor)
    made.set(x, inputs.every((y, i) => y === x.inputs[i]) ? x : new Tensor(x.op, inputs, x.attrs, x.name))
  }
  return outputs.map((y) => made.get(y) as Tensor)
}
