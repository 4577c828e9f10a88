import type { DType, TypedArray } from '../dtype.ts'
import type { Quantization } from '../ops/quantized.ts'
import type { Shape } from '../shape.ts'
import type { Tensor } from '../tensor.ts'

/** Element types that only ONNX Runtime's kernels take: their arrays, and their numbers in ONNX. */
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

/** A part of a file, or of another source that a backend names. */
export interface FileRange {
  readonly file: string
  /** Bytes from the file's start. */
  readonly offset: number
  /** What the file was when it was opened, to be compared before its bytes are used. */
  readonly stamp?: string
}

/** A parameter's stored value: in memory, or in a file at a byte offset. */
export type StoredValue = { readonly dtype: DType; readonly shape: Shape } & ({ readonly data: TypedArray } | FileRange)

/** A packed weight: in memory, or in a file at a byte offset. */
export type RawValue = RawTensor | (Omit<RawTensor, 'data'> & FileRange & { readonly length: number })

/** How a fixed weight is packed into the layout that a kernel reads: the results, and the function that fills them. */
export interface Packing {
  /**
   * Names the layout and every number that it depends on: weights of equal values and equal form are packed to equal bytes,
   * today and in another process.
   */
  readonly form: string
  readonly results: readonly Omit<RawTensor, 'data'>[]
  /** Other fixed parameters that `fill` reads, such as a bias. */
  readonly needs?: readonly Tensor[]
  /** Fills memory that is not zeroed. */
  readonly fill: (values: Float32Array, results: readonly RawTensor['data'][], needed: readonly Float32Array[]) => void
}

/** A weight that is to be packed before the graph can run. */
export interface PackRequest {
  readonly stored: StoredValue
  readonly needed: readonly StoredValue[]
  readonly packing: Packing
}

export type OnnxAttribute = number | string | readonly number[] | { readonly float: number }

/**
 * Where a graph is lowered to. `portable` uses only the standard's operators, for export; the others may use ONNX
 * Runtime's own kernels, `cpu` those of its CPU provider and `webgpu` those that stay on the GPU.
 */
export type Target = 'cpu' | 'webgpu' | 'portable'

/** The ONNX graph under construction, as an operation's lowering sees it. Values are names. */
export interface Lowering {
  readonly target: Target
  /** Channels in a block of the CPU kernels' blocked layout (16 with AVX-512, 8 with AVX2); 0 where there is none. */
  readonly channelBlock: number
  /** Whether ONNX Runtime's attention kernel is there and right. */
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
   * A parameter's fixed value in a kernel's layout, packed once, before the graph runs: the names of its results.
   * Undefined where the value is not fixed, is no parameter's own, or is kept in 16 bits.
   */
  packed(x: Tensor, packing: Packing): readonly string[] | undefined
  /** How layers are quantised, if they are. */
  readonly quantization: Quantization | undefined
  /** The name under which a fixed parameter, or a part of its rows, is stored. */
  storedName(x: Tensor): string | undefined
  /** A constant in an element type that no tensor has. */
  raw(value: RawTensor): string
  /** Leaves the choice of layouts to ONNX Runtime: the graph has fixed weights that only it can pack. */
  leaveLayout(): void
  /** Whether `packed` gives this tensor's forms, or they must be made at every run because its value changes. */
  canPack(x: Tensor): boolean
  /**
   * Whether a tensor's value is known before the graph runs (constants, and weights that are not state). A weight that is
   * kept in 16 bits counts as one that is made at every run.
   */
  isConstant(x: Tensor): boolean
}
