import type { DType, TypedArray } from '../dtype.ts'
import type { Shape } from '../shape.ts'

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

export type OnnxAttribute = number | string | readonly number[] | { readonly float: number }

/**
 * Where a graph is lowered to. `portable` uses only the standard's operators, for export; the others may use ONNX
 * Runtime's own kernels, `cpu` those of its CPU provider and `webgpu` those that stay on the GPU.
 */
export type Target = 'cpu' | 'webgpu' | 'portable'

/** Least and greatest value of a convolution's input and of its result. */
export type ConvRange = readonly [inputMin: number, inputMax: number, outputMin: number, outputMax: number]

/**
 * `int8`: convolutions and matrix products on 8-bit integers; convolutions where there are ranges, by the weight's name.
 * `int4`: weights of matrix products in 4 bits, of convolutions in 8, calculation in float.
 */
export type Quantization =
  | { readonly kind: 'int8'; readonly ranges: ReadonlyMap<string, ConvRange>; readonly saturates: boolean }
  | { readonly kind: 'int4'; readonly saturates: boolean }
