import type { Tensor } from '../tensor.ts'

/** Nodes between two uses of a value that are then taken to be in different passes. */
export const FAR = 400
const CHEAP = new Set(['add', 'sub', 'mul', 'div', 'reshape', 'sigmoid', 'gate', 'silu', 'gelu', 'groupNorm'])
/** As many as group norm and an activation need; where longer rows of cheap operations are made again, one value is kept. */
export const MOST_STEPS = 4
/** The one input of its size that a tensor is made from fast, the others being small. */
export function cheapFrom(x: Tensor): Tensor | undefined {
  const [from, ...others] = CHEAP.has(x.op.name) ? x.inputs.filter((y) => y.size * 8 > x.size) : []
  return others.length === 0 ? from : undefined
}
