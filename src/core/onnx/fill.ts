import { ArgumentError } from '../errors.ts'
import type { Packing } from '../graph.ts'
import { sizeOf } from '../shape.ts'
import type { Lowered } from './lower.ts'
import { embedded } from './stored.ts'
import { type RawTensor, rawTypes } from './types.ts'

/** Fills the initializers of a graph without packed weights, all of whose values lie in memory. */
export function fillFromMemory({ direct }: Pick<Lowered, 'direct'>): void {
  for (const { tensor, stored } of direct) {
    if (!('data' in stored)) throw new ArgumentError(`"${tensor.name}" lies in ${stored.file}, not in memory`)
    Object.assign(tensor, embedded(stored.data))
  }
}

/** A weight of these values, packed in memory. */
export function packInMemory(
  { results, fill }: Packing,
  values: Float32Array,
  needed: readonly Float32Array[] = [],
): RawTensor[] {
  const made = results.map((result) => ({ ...result, data: new rawTypes[result.type].array(sizeOf(result.shape)) }))
  fill(
    values,
    made.map(({ data }) => data),
    needed,
  )
  return made
}
