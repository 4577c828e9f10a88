import type { DType, TypedArray } from '../dtype.ts'
import { ArgumentError, DTypeError } from '../errors.ts'
import type { Shape } from '../shape.ts'
import type { Tensor } from '../tensor.ts'
import type { Quantization } from './quantized.ts'

/** What a symbolic tensor is, before any value: its shape and element type. */
export interface Spec {
  readonly shape: Shape
  readonly dtype: DType
}

/** Element types of what only the engine's kernels take: their arrays, and the numbers under which ONNX knows them. */
export const rawTypes = {
  f32: { array: Float32Array, onnx: 1 },
  u8: { array: Uint8Array, onnx: 2 },
  s8: { array: Int8Array, onnx: 3 },
  i32: { array: Int32Array, onnx: 6 },
} as const

/** A constant in one of these types. */
export interface RawTensor {
  readonly type: keyof typeof rawTypes
  readonly shape: Shape
  readonly data: Float32Array | Uint8Array | Int8Array | Int32Array
}

/** Other arrangements of a fixed value: what they will be, and how they are calculated, into memory with anything in it. */
export interface Arrangement {
  readonly results: readonly Omit<RawTensor, 'data'>[]
  readonly fill: (values: Float32Array, results: readonly RawTensor['data'][]) => void
}

export type OnnxAttribute = number | string | readonly number[] | { readonly float: number }

/**
 * Where a graph is lowered to. `portable` uses only the standard's operators, for export; the others may use the
 * engine's own kernels, `cpu` those of ONNX Runtime's CPU provider and `webgpu` those that stay on the GPU.
 */
export type Target = 'cpu' | 'webgpu' | 'portable'

/** The ONNX graph under construction, as an operation's lowering sees it. Values are names. */
export interface Lowering {
  readonly target: Target
  /** Channels in a block of the CPU kernels' blocked layout (16 with AVX-512, 8 with AVX2); 0 where there is none. */
  readonly channelBlock: number
  /** Whether the engine's attention kernel is there and right. */
  readonly fusedAttention: boolean
  /** Adds one ONNX node with one output. An empty input name is an absent optional input. */
  emit(type: string, inputs: readonly string[], attributes?: Record<string, OnnxAttribute>, domain?: string): string
  /** A constant of the graph; equal constants are stored once. */
  constant(data: TypedArray, dtype: DType, shape: Shape): string
  /** A constant list of 64-bit integers: shapes, axes, pads. */
  ints(values: readonly number[]): string
  /** A constant scalar. */
  scalar(value: number, dtype: DType): string
  /** The value of a symbolic tensor, lowered on demand: an operation may lower itself as a composition of others. */
  value(x: Tensor): string
  /** A form of a tensor's value (a reordered layout, say) that is made once and shared. */
  cached(x: Tensor, form: string, make: () => string): string
  /** That form, where it has been made; never in training, where keeping it for later would fill memory. */
  known(x: Tensor, form: string): string | undefined
  /**
   * A parameter's fixed value in another arrangement, calculated once, before the graph runs: the names of its results.
   * Undefined where the value is not fixed or not a parameter's own.
   */
  prepared(x: Tensor, form: string, arrangement: Arrangement): readonly string[] | undefined
  /** How layers are quantised, if they are. */
  readonly quantization: Quantization | undefined
  /** The name under which a fixed parameter, or a part of its rows, is stored. */
  storedName(x: Tensor): string | undefined
  /** Its value, read now: for small ones. */
  storedValues(x: Tensor): Float32Array | undefined
  /** A constant in an element type that no tensor has. */
  raw(value: RawTensor): string
  /** Leaves the choice of layouts to the engine: the graph has fixed weights that only it can arrange. */
  leaveLayout(): void
  /** Whether `prepared` gives this tensor's forms, or they must be made at every run because its value changes. */
  isArrangeable(x: Tensor): boolean
  /** Whether a tensor's value is known before the graph runs (constants, and weights that are not state). */
  isConstant(x: Tensor): boolean
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
