import { isFloat } from './dtype.ts'
import { ArgumentError, ShapeError } from './errors.ts'
import { sameShape, showShape } from './shape.ts'
import { ones, type Tensor, zeros } from './tensor.ts'

/** Every tensor that the outputs depend on, each after its inputs. */
export function topologicalOrder(outputs: readonly Tensor[]): Tensor[] {
  const order: Tensor[] = []
  const seen = new Set<Tensor>()
  const stack: { x: Tensor; next: number }[] = []
  for (const root of outputs) {
    if (!seen.has(root)) {
      seen.add(root)
      stack.push({ x: root, next: 0 })
    }
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const child = top.x.inputs[top.next++]
      if (!child) {
        order.push(top.x)
        stack.pop()
      } else if (!seen.has(child)) {
        seen.add(child)
        stack.push({ x: child, next: 0 })
      }
    }
  }
  return order
}

/**
 * Reverse-mode differentiation: the cotangents of `wrt` for cotangents of the outputs, as new symbolic tensors.
 * A tensor that the outputs do not depend on gets zeros.
 */
export function vjp(outputs: readonly Tensor[], wrt: readonly Tensor[], cotangents: readonly Tensor[]): Tensor[] {
  const order = topologicalOrder(outputs)
  const active = new Set<Tensor>(wrt)
  for (const x of order) {
    if (x.inputs.some((y) => active.has(y)) && x.op.vjp !== 'not differentiable') active.add(x)
  }
  const gradients = new Map<Tensor, Tensor>()
  const accumulate = (x: Tensor, g: Tensor) => {
    const before = gradients.get(x)
    // bfloat16 is storage: its sums are made in float32.
    const sum = (a: Tensor, b: Tensor) => (x.dtype === 'bf16' ? a.cast('f32').add(b.cast('f32')).cast('bf16') : a.add(b))
    gradients.set(x, before ? sum(before, g) : g)
  }
  for (const [i, y] of outputs.entries()) {
    const g = cotangents[i]
    if (!g || !sameShape(g.shape, y.shape)) {
      throw new ShapeError(`vjp: output ${i} is ${showShape(y.shape)}, its cotangent ${g ? showShape(g.shape) : 'is missing'}`)
    }
    accumulate(y, g)
  }
  for (const y of order.reverse()) {
    const g = gradients.get(y)
    const rule = y.op.vjp
    if (!g || !active.has(y) || rule === 'not differentiable' || !y.inputs.some((x) => active.has(x))) continue
    for (const [i, gx] of rule(g, y.inputs, y, y.attrs).entries()) {
      const x = y.inputs[i]
      if (x && gx && active.has(x) && isFloat(x.dtype)) accumulate(x, gx)
    }
  }
  return wrt.map((x) => gradients.get(x) ?? zeros(x.shape, x.dtype))
}

/** Gradients of a loss (one element) for each of `wrt`. They are tensors like any other and can be differentiated again. */
export function grad(loss: Tensor, wrt: readonly Tensor[]): Tensor[] {
  if (loss.size !== 1)
    throw new ArgumentError(`grad: the loss has shape ${showShape(loss.shape)}; reduce it to one element first`)
  return vjp([loss], wrt, [ones(loss.shape, loss.dtype)])
}

/**
 * Forward-mode differentiation: the outputs' tangents for tangents of `wrt`. A vector–Jacobian product is linear in
 * its cotangent, so differentiating it for that cotangent transposes it (Christianson 1992; "double backwards").
 */
export function jvp(outputs: readonly Tensor[], wrt: readonly Tensor[], tangents: readonly Tensor[]): Tensor[] {
  const cotangents = outputs.map((y) => zeros(y.shape, y.dtype))
  return vjp(vjp(outputs, wrt, cotangents), cotangents, tangents)
}
