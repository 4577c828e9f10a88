import type { Shape } from '../core/shape.ts'
import { showShape } from '../core/shape.ts'
import { ModelConfigError } from './config.ts'

/** The shape of a key that a network's file must have, with so many axes. @throws ModelConfigError */
export function shapeIn(shapes: ReadonlyMap<string, Shape>, key: string, rank: number, place: string): [number, number] {
  const shape = shapes.get(key)
  if (shape?.length !== rank) {
    const message = shape ? `has the shape ${showShape(shape)}, expected ${rank} axes` : 'is not in the file'
    throw new ModelConfigError(place, [{ field: key, message }])
  }
  return [shape[0] as number, shape[1] as number]
}

/** One more than the largest number that the pattern finds in the keys; 0 where it finds none. */
export function countOf(shapes: ReadonlyMap<string, Shape>, pattern: RegExp): number {
  return Math.max(0, ...[...shapes.keys()].map((key) => Number(pattern.exec(key)?.[1] ?? -1) + 1))
}
