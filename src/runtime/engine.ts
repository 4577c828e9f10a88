import type { Tensor as OrtTensor } from 'onnxruntime-common'
import type { ArrayOf, DType } from '../core/dtype.ts'
import type { OnnxModel } from '../core/onnx/proto.ts'
import type { Session, SessionOptions } from './backend.ts'
import { backend } from './current-backend.ts'
import { EngineError, ortType } from './engine-error.ts'
import { NdArray } from './ndarray.ts'

export type { DeviceName, Session, SessionOptions } from './backend.ts'
export { EngineError, ortType } from './engine-error.ts'

const dtypeOf = Object.fromEntries(Object.entries(ortType).map(([dtype, type]) => [type, dtype])) as Record<string, DType>

/** One session. Creating and running it block the calling thread. */
export async function createSession(model: OnnxModel, options: SessionOptions): Promise<Session> {
  return (await backend()).createSession(model, options).catch((cause: Error) => {
    throw new EngineError(`ONNX Runtime did not accept the graph on ${options.device}: ${cause.message}`, { cause })
  })
}

/** A host array as a session takes it, without a copy where ONNX Runtime allows. */
export async function toOrt(array: NdArray): Promise<OrtTensor> {
  if (array.dtype === 'bf16') throw new EngineError('bf16 arrays are storage only; cast to f32 before feeding them')
  const data = array.data.buffer instanceof ArrayBuffer ? array.data : array.data.slice()
  return feedable((await backend()).tensor(array.dtype, data, array.shape))
}

/** ONNX Runtime makes Float16Arrays where JavaScript has them, yet its native side reads them as empty: it wants their bits. */
export function feedable(tensor: OrtTensor): OrtTensor {
  if (tensor.type === 'float16' && tensor.location === 'cpu' && !(tensor.data instanceof Uint16Array)) {
    const { buffer, byteOffset, length } = tensor.data as unknown as Uint16Array
    Object.defineProperty(tensor, 'data', { value: new Uint16Array(buffer, byteOffset, length) })
  }
  return tensor
}

/** A session's tensor on the host as a host array. */
export function fromOrt(tensor: OrtTensor): NdArray {
  if (tensor.location === 'gpu-buffer')
    throw new EngineError('a tensor on the GPU was read as if on the host; read it through its State')
  const dtype = dtypeOf[tensor.type]
  if (!dtype) throw new EngineError(`ONNX Runtime returned a ${tensor.type} tensor, which langevin has no dtype for`)
  return new NdArray(feedable(tensor).data as ArrayOf[DType], tensor.dims, dtype)
}
