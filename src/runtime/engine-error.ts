import { LangevinError } from '../core/errors.ts'

/** ONNX Runtime refused a graph or failed while running it. */
export class EngineError extends LangevinError {}

/** ONNX Runtime's names for our element types. */
export const ortType = { f32: 'float32', f16: 'float16', i32: 'int32', i64: 'int64', bool: 'bool', u8: 'uint8' } as const
