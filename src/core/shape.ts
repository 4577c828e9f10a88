import { ArgumentError, ShapeError } from './errors.ts'

export type Shape = readonly number[]

export const sizeOf = (shape: Shape): number => shape.reduce((a, b) => a * b, 1)

export const showShape = (shape: Shape): string => `[${shape.join(', ')}]`

export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((size, i) => size === b[i])

/** 0, 1, …, n − 1. */
export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i)

/** Sizes are integers from 0 on, and all elements together can be counted exactly. */
export const isShape = (shape: Shape): boolean => shape.every(isCount) && Number.isSafeInteger(sizeOf(shape))

/** 0, 1, 2, … */
export const isCount = (n: number): boolean => Number.isSafeInteger(n) && n >= 0

/** @throws ShapeError where `shape` is not a list of sizes */
export function checkShape(place: string, shape: Shape): void {
  if (!isShape(shape)) throw new ShapeError(`${place}: ${showShape(shape)} is no shape`)
}

/** An axis counted from the front; negative ones count from the back. */
export function axisOf(axis: number, rank: number, place?: string): number {
  const positive = axis < 0 ? axis + rank : axis
  if (!Number.isInteger(axis) || positive < 0 || positive >= rank) {
    const range = rank === 0 ? 'it has no axes' : `use ${-rank} to ${rank - 1}`
    throw new ArgumentError(`${place ? `${place}: ` : ''}axis ${axis} is outside a tensor of rank ${rank}: ${range}`)
  }
  return positive
}

/** Axes counted from the front, sorted, each once; all of them where none are given. */
export function axesOf(axes: number | readonly number[] | undefined, rank: number, place?: string): number[] {
  if (axes === undefined) return range(rank)
  const list = (typeof axes === 'number' ? [axes] : axes).map((axis) => axisOf(axis, rank, place))
  return [...new Set(list)].sort((a, b) => a - b)
}

/** The shape that two shapes broadcast to, by NumPy's rule. */
export function broadcastShapes(a: Shape, b: Shape, place = 'broadcast'): Shape {
  if (sameShape(a, b)) return a
  const rank = Math.max(a.length, b.length)
  return range(rank).map((i) => {
    const x = a[i - rank + a.length] ?? 1
    const y = b[i - rank + b.length] ?? 1
    if (x !== y && x !== 1 && y !== 1) {
      throw new ShapeError(`${place}: ${showShape(a)} and ${showShape(b)} do not broadcast (axis ${i}: ${x} against ${y})`)
    }
    return x === 1 ? y : x
  })
}

type Words<S extends string> = S extends `${infer Head} ${infer Tail}` ? Head | Words<Tail> : S

/**
 * The named sizes of a tensor: `const { B, C, H, W } = dims(x, 'B C H W')` also asserts its rank, and with
 * `expected` its sizes. Axes are named B batch, C channels, H W picture, N tokens, M context tokens, D width, T time.
 */
export function dims<S extends string>(
  x: { readonly shape: Shape; readonly name?: string | undefined },
  axes: S,
  expected: Partial<Record<Words<S>, number>> = {},
): Record<Words<S>, number> {
  const names = axes.split(' ') as Words<S>[]
  const place = x.name ?? 'tensor'
  if (names.length !== x.shape.length) {
    throw new ShapeError(`${place}: expected axes ${axes}, got shape ${showShape(x.shape)}`)
  }
  const sizes = {} as Record<Words<S>, number>
  for (const [i, name] of names.entries()) {
    const size = x.shape[i] as number
    const wanted = expected[name] ?? sizes[name]
    if (wanted !== undefined && wanted !== size) {
      throw new ShapeError(`${place}: expected ${name} = ${wanted} in axes ${axes}, got shape ${showShape(x.shape)}`)
    }
    sizes[name] = size
  }
  return sizes
}
