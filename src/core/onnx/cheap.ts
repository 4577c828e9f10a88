import type { Tensor } from '../tensor.ts'

/** Two uses of a value with more nodes between them are taken to be in different passes, forward and backward. */
export const FAR = 400
const CHEAP = new Set(['add', 'sub', 'mul', 'div', 'reshape', 'sigmoid', 'gate', 'silu', 'gelu', 'groupNorm'])
/** Cheap operations that are calculated again in a row, at most: enough for group norm and an activation. After so many, one value is kept. */
export const MOST_STEPS = 4
/** The only large input of a cheap operation. */
export function cheapFrom(x: Tensor): Tensor | undefined {
  const [from, ...others] = CHEAP.has(x.op.name) ? x.inputs.filter((y) => y.size * 8 > x.size) : []
  return others.length === 0 ? from : undefined
}
