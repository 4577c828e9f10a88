import type { Tensor } from '../graph.ts'
import { at } from './op.ts'

/** The elements of an axis `step` apart with zeros between, cut or filled with zeros to `size`. */
export function spread(g: Tensor, axis: number, step: number, size: number): Tensor {
  const n = at(g.shape, axis)
  if (step === 1) return g.padAxis(axis, 0, size - n)
  const apart = g.reshape([...g.shape.slice(0, axis), n, 1, ...g.shape.slice(axis + 1)]).padAxis(axis + 1, 0, step - 1)
  const flat = apart.reshape([...g.shape.slice(0, axis), n * step, ...g.shape.slice(axis + 1)])
  return n * step >= size ? flat.slice(axis, 0, size) : flat.padAxis(axis, 0, size - n * step)
}
