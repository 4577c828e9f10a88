import { ShapeError } from '../core/errors.ts'
import { sizeOf } from '../core/shape.ts'

/** Nested lists of numbers, as deep as the array has axes. */
export type Nested = number | readonly Nested[]

/** The numbers of nested lists in their order, and the lists' shape. @throws ShapeError where lists are ragged */
export function flatten(values: Nested): { readonly numbers: number[]; readonly shape: number[] } {
  const shape: number[] = []
  for (let v = values; typeof v !== 'number'; v = v[0] as Nested) {
    shape.push(v.length)
    if (v.length === 0) break
  }
  const flat = (v: Nested, depth: number): number[] => {
    if (typeof v === 'number' ? depth !== shape.length : v.length !== shape[depth])
      throw new ShapeError(`NdArray.from: ragged lists; expected shape [${shape.join(', ')}] at depth ${depth}`)
    return typeof v === 'number' ? [v] : v.flatMap((w) => flat(w, depth + 1))
  }
  return { numbers: flat(values, 0), shape }
}

/** Row-major elements of a shape, as nested lists. */
export function nest(elements: ArrayLike<number | bigint>, shape: readonly number[], from = 0): Nested {
  const [length, ...rest] = shape
  if (length === undefined) return Number(elements[from])
  const inner = sizeOf(rest)
  return Array.from({ length }, (_, i) => nest(elements, rest, from + i * inner))
}
