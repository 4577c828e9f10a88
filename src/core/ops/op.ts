import type { DType } from '../dtype.ts'
import { ArgumentError, DTypeError } from '../errors.ts'
import type { Op, Tensor } from '../graph.ts'

/** Names an operation's entry. A missing shape rule, lowering or gradient does not compile. */
export const op = <A = Record<never, never>>(name: string, entry: Omit<Op<A>, 'name'>): Op<A> => ({ name, ...entry })

/** The `i`-th input of an operation that always has one there. */
export function at<T>(list: readonly T[], i: number): T {
  const item = list[i]
  if (item === undefined) throw new ArgumentError(`no element ${i} in a list of ${list.length}`)
  return item
}

/** What an operation calculates with. bfloat16 is storage, so no number here; sums and products of bytes would not fit a byte. */
export type Accepts = 'anything' | 'numbers' | 'wide' | 'floats' | 'bools'
const accepted: Record<Accepts, readonly DType[]> = {
  anything: ['f32', 'f16', 'bf16', 'i32', 'i64', 'bool', 'u8'],
  numbers: ['f32', 'f16', 'i32', 'i64', 'u8'],
  wide: ['f32', 'f16', 'i32', 'i64'],
  floats: ['f32', 'f16'],
  bools: ['bool'],
}

/** Throws where the inputs' dtypes differ from each other or are none that the operation takes. */
export function checkDTypes(name: string, inputs: readonly Tensor[], accepts: Accepts): void {
  const first = at(inputs, 0)
  for (const x of inputs) {
    if (x.dtype !== first.dtype) {
      throw new DTypeError(`${name}: ${first.describe()} is ${first.dtype} and ${x.describe()} is ${x.dtype}; cast one of them`)
    }
    if (!accepted[accepts].includes(x.dtype)) {
      throw new DTypeError(`${name}: ${x.describe()} is ${x.dtype}; cast it to ${accepts === 'bools' ? 'bool' : 'f32'} first`)
    }
  }
}
