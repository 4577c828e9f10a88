import { ArgumentError } from '../core/errors.ts'
import { sameShape, showShape } from '../core/shape.ts'
import type { Tensor } from '../core/tensor.ts'
import type { NdArray } from './ndarray.ts'

export const quoted = (names: readonly string[]) => names.map((name) => `"${name}"`).join(', ')

/**
 * The value of each input.
 * @throws ArgumentError for one that is missing or does not fit, and for a value that no input takes
 */
export function checkedFeeds(inputs: readonly Tensor[], feeds: Readonly<Record<string, NdArray>>): [string, NdArray][] {
  const names = inputs.map(({ name }) => name as string)
  const unknown = Object.keys(feeds).filter((name) => !names.includes(name))
  if (unknown.length > 0)
    throw new ArgumentError(`no input ${quoted(unknown)}; this program takes ${names.length > 0 ? quoted(names) : 'none'}`)
  return inputs.map((x, i) => [names[i] as string, checkedFeed(x, feeds[names[i] as string])])
}

function checkedFeed(x: Tensor, value: NdArray | undefined): NdArray {
  if (!value) throw new ArgumentError(`input "${x.name}" is missing: expected ${x.dtype}${showShape(x.shape)}`)
  if (!sameShape(value.shape, x.shape) || value.dtype !== x.dtype) {
    throw new ArgumentError(
      `input "${x.name}": expected ${x.dtype}${showShape(x.shape)}, got ${value.dtype}${showShape(value.shape)}`,
    )
  }
  return value
}
