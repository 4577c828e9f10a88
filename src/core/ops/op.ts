import type { DType } from '../dtype.ts'
import { ArgumentError, DTypeError } from '../errors.ts'
import type { Lowering } from '../onnx/types.ts'
import type { Shape } from '../shape.ts'
import type { Tensor } from '../tensor.ts'

export type { Lowering, Packing, Target } from '../onnx/types.ts'

/** What a symbolic tensor is, before any value: its shape and element type. */
export interface Spec {
  readonly shape: Shape
  readonly dtype: DType
}

/**
 * One operation, its semantics together: the shape rule, the lowering to ONNX, and the vector–Jacobian product in
 * terms of other operations, so that gradients can be differentiated again.
 */
// biome-ignore lint/suspicious/noExplicitAny: a table holds operations of every kind of attributes.
export interface Op<A = any> {
  readonly name: string
  /** The result's shape and dtype; throws where the inputs do not fit. */
  readonly shape: (inputs: readonly Tensor[], attrs: A) => Spec
  /** The ONNX operator's name, or a function that emits nodes and returns the result's name. */
  readonly lower: string | ((b: Lowering, inputs: readonly string[], node: Tensor<A>) => string)
  /** Cotangent of the result → cotangents of the inputs; `undefined` for an input that no gradient reaches. */
  readonly vjp:
    | ((g: Tensor, inputs: readonly Tensor[], output: Tensor<A>, attrs: A) => readonly (Tensor | undefined)[])
    | 'not differentiable'
}

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
