import { isFloat } from './dtype.ts'
import { ArgumentError, ShapeError } from './errors.ts'
import { concat } from './functions.ts'
import { pad } from './ops/move.ts'
import { range, sameShape, showShape } from './shape.ts'
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
  const gradients = new Map<Tensor, Tensor[]>()
  const accumulate = (x: Tensor, g: Tensor) => {
    const before = gradients.get(x)
    if (before) before.push(g)
    else gradients.set(x, [g])
  }
  const gradientOf = (x: Tensor): Tensor | undefined => {
    const parts = gradients.get(x)
    if (!parts) return undefined
    const sum = total(parts)
    gradients.set(x, [sum])
    return sum
  }
  for (const [i, y] of outputs.entries()) {
    const g = cotangents[i]
    if (!g || !sameShape(g.shape, y.shape)) {
      throw new ShapeError(`vjp: output ${i} is ${showShape(y.shape)}, its cotangent ${g ? showShape(g.shape) : 'is missing'}`)
    }
    accumulate(y, g)
  }
  for (const y of order.reverse()) {
    const g = gradientOf(y)
    const rule = y.op.vjp
    if (!g || !active.has(y) || rule === 'not differentiable' || !y.inputs.some((x) => active.has(x))) continue
    for (const [i, gx] of rule(g, y.inputs, y, y.attrs).entries()) {
      const x = y.inputs[i]
      if (x && gx && active.has(x) && isFloat(x.dtype)) accumulate(x, gx)
    }
  }
  return wrt.map((x) => gradientOf(x) ?? zeros(x.shape, x.dtype))
}

/** The sum of a tensor's cotangents. Those of neighbouring slices, zero elsewhere, are laid end to end rather than added. */
function total(parts: readonly Tensor[]): Tensor {
  // bfloat16 is storage: its sums are made in float32.
  const sum = (a: Tensor, b: Tensor) => (a.dtype === 'bf16' ? a.cast('f32').add(b.cast('f32')).cast('bf16') : a.add(b))
  return joined(parts).reduce(sum)
}

function joined(parts: readonly Tensor[]): Tensor[] {
  const slices = parts.flatMap((x) => sliceOf(x) ?? [])
  const axes = new Set(slices.map(({ axis }) => axis))
  const made = [...axes].flatMap((axis) => {
    const [first, ...others] = slices.filter((part) => part.axis === axis).sort((a, b) => a.start - b.start)
    if (!first) return []
    let end = first.start + first.length
    const row = [first]
    for (const part of others) {
      if (part.start !== end) continue
      end += part.length
      row.push(part)
    }
    if (row.length === 1) return []
    const whole = concat(
      row.map(({ of }) => of),
      axis,
    )
    const after = (first.padded.shape[axis] as number) - end
    return [{ row, whole: whole.padAxis(axis, first.start, after) }]
  })
  const used = new Set(made.flatMap(({ row }) => row.map(({ padded }) => padded)))
  return [...parts.filter((x) => !used.has(x)), ...made.map(({ whole }) => whole)]
}

/** What a slice's cotangent is made of: part of one axis, with zeros around it. */
function sliceOf(padded: Tensor) {
  if (padded.op !== pad || padded.attrs.value !== 0) return undefined
  const of = padded.inputs[0] as Tensor
  const [axis, ...others] = range(padded.rank).filter((i) => padded.shape[i] !== of.shape[i])
  if (axis === undefined || others.length > 0) return undefined
  return { padded, of, axis, start: padded.attrs.before[axis] as number, length: of.shape[axis] as number }
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
