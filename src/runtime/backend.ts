import type { Tensor as OrtTensor } from 'onnxruntime-common'
import type { DType, TypedArray } from '../core/dtype.ts'
import type { Lowered } from '../core/onnx/lower.ts'
import type { OnnxModel } from '../core/onnx/proto.ts'
import type { FileRange } from '../core/onnx/types.ts'

/** Where a program runs. */
export type DeviceName = 'cpu' | 'webgpu' | 'cuda'

/** How a graph is to be run. Every choice but the device has the backend's own default. */
export interface SessionOptions {
  readonly device: DeviceName
  /** Outputs that stay on the device; the others come to the host. */
  readonly resident?: readonly string[]
  /** Whether ONNX Runtime packs constant weights itself: on unless memory matters more. */
  readonly prepack?: boolean
  readonly threads?: number
  /** Whether it allocates by itself, and keeps what was used (unless false). */
  readonly arena?: boolean
  /** Whether ONNX Runtime rewrites the graph first (unless false). A graph of thousands of nodes then takes seconds. */
  readonly rewrite?: boolean
  /** Whether it may choose the layout of what it rewrites, and copy weights for it: so unless false. */
  readonly layout?: boolean
  /** On a GPU: whether the CPU may run what the GPU cannot (it may unless false, which makes such a graph an error). */
  readonly fallback?: boolean
}

/** A graph that can be run. */
export interface Session {
  run(feeds: Readonly<Record<string, OrtTensor>>): Promise<Readonly<Record<string, OrtTensor>>>
  release(): Promise<void>
}

/** What a graph's weights take until its session is made. */
export interface Filled {
  release(): void
}

/** What a machine can run programs on. */
export interface Device {
  readonly name: DeviceName
  readonly available: boolean
  /** Why it is not available, and what would make it so. */
  readonly reason?: string
  readonly description: string
  readonly goodFor: string
}

/**
 * All that langevin asks of the place where it runs: Node's own, a browser's, or one that wraps another. Everything else in
 * `core`, `nn`, `diffusion`, `models` and this folder is plain JavaScript.
 */
export interface Backend {
  readonly name: string
  /** A session of a graph whose weights are filled in. */
  createSession(model: OnnxModel, options: SessionOptions): Promise<Session>
  /** Host values as sessions take them, without a copy where that can be. */
  tensor(dtype: DType, data: TypedArray, shape: readonly number[]): OrtTensor
  /** Bytes of a file that holds weights. */
  readRange(range: FileRange, length: number): Promise<Uint8Array>
  /** Packs what a graph lists, and fills in its weights (`fillByRange` does it in memory, from `readRange`). */
  fillWeights(graph: Lowered): Promise<Filled>
  /** Bytes that this process may use, and those that are free now. */
  memory(): { readonly total: number; readonly free: number }
  /** The devices that it knows, available or not, each tried when it is asked for. */
  readonly devices: Readonly<Partial<Record<DeviceName, () => Promise<Device>>>>
}
