import type { DType, TypedArray } from './dtype.ts'
import type { OnnxAttribute, Quantization, RawTensor, StoredValue, Target } from './onnx/types.ts'
import { checkShape, type Shape, sizeOf } from './shape.ts'

/**
 * A symbolic tensor: a node of a graph, with a shape and a dtype but no value. Operations trace new nodes, most of them by
 * methods (tensor.ts adds them); `grad` differentiates the graph and the runtime's `compile` turns it into a program.
 */
// biome-ignore lint/suspicious/noExplicitAny: a graph holds nodes of every kind of attributes.
export class Tensor<A = any> {
  readonly op: Op<A>
  readonly inputs: readonly Tensor[]
  readonly attrs: A
  readonly shape: Shape
  readonly dtype: DType
  /** The name of an input or a parameter. */
  readonly name: string | undefined

  /** One node; the operation's shape rule decides shape and dtype. */
  constructor(op: Op<A>, inputs: readonly Tensor[], attrs: A, name?: string) {
    const { shape, dtype } = op.shape(inputs, attrs)
    checkShape(op.name, shape)
    this.op = op
    this.inputs = inputs
    this.attrs = attrs
    this.shape = shape
    this.dtype = dtype
    this.name = name
  }

  get rank(): number {
    return this.shape.length
  }

  get size(): number {
    return sizeOf(this.shape)
  }

  /** How an error names this tensor: its own name, or the operation that made it. */
  describe(): string {
    return this.name ? `"${this.name}"` : `the result of ${this.op.name}`
  }
}

/** Adds a node to the graph: an operation applied to tensors. */
export function build<A>(op: Op<A>, inputs: readonly Tensor[], attrs = {} as A): Tensor<A> {
  return new Tensor(op, inputs, attrs)
}

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
