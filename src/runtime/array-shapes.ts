import { ShapeError } from '../core/errors.ts'
import { isShape, sizeOf } from '../core/shape.ts'

type Shape = readonly number[]
const told = (shape: Shape) => `[${shape.join(', ')}]`

/** Which axes a reduction runs over (all when absent) and whether they stay as 1. */
export interface Over {
  readonly axes?: readonly number[]
  readonly keep?: boolean
}

/** An axis by its number from the front; negative ones count from the end. @throws ShapeError */
export function axisOf(shape: Shape, axis: number, op: string): number {
  const rank = shape.length
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank)
    throw new ShapeError(`${op}: no axis ${axis} in shape ${told(shape)}`)
  return axis < 0 ? rank + axis : axis
}

/** The shape of arrays joined along an axis. @throws ShapeError where another axis differs */
export function joinedShape(shapes: readonly Shape[], at: number): number[] {
  const [first = []] = shapes
  for (const shape of shapes)
    if (shape.length !== first.length || shape.some((n, i) => i !== at && n !== first[i]))
      throw new ShapeError(`NdArray.concat on axis ${at}: ${told(first)} and ${told(shape)}`)
  return first.with(
    at,
    shapes.reduce((n, shape) => n + (shape[at] as number), 0),
  )
}

/** A shape of as many elements; one axis may be −1. @throws ShapeError */
export function reshaped(from: Shape, to: Shape): Shape {
  const free = to.indexOf(-1)
  const full = free < 0 ? to : to.with(free, sizeOf(from) / -sizeOf(to))
  if (!isShape(full)) throw new ShapeError(`reshape: ${told(from)} does not fit ${told(to)}`)
  return full
}

/** @throws ShapeError where an order does not name each axis once */
export function checkOrder(shape: Shape, order: readonly number[]): void {
  const rank = shape.length
  if (order.length !== rank || new Set(order).size !== rank || order.some((i) => !(i in shape)))
    throw new ShapeError(`permute: ${told(order)} is no order of ${rank} axes`)
}

/** The axes of a reduction, the order that puts them last, whether they stand there already, and the shape that is left. */
export function reductionOf(shape: Shape, over: Over | undefined, op: string) {
  const all = shape.map((_, i) => i)
  const axes = over?.axes?.map((axis) => axisOf(shape, axis, op)) ?? all
  const kept = all.filter((i) => !axes.includes(i))
  const order = [...kept, ...axes]
  const inOrder = order.every((axis, i) => axis === i)
  const left = over?.keep ? shape.map((n, i) => (axes.includes(i) ? 1 : n)) : kept.map((i) => shape[i] as number)
  return { axes, order, inOrder, shape: left }
}
