import { totalmem } from 'node:os'
import type { DType, TypedArray } from '../../core/dtype.ts'
import type { FileRange } from '../../core/onnx/types.ts'
import type { Backend } from '../backend.ts'
import { EngineError, ortType } from '../engine-error.ts'
import { cpu, cuda, probeWebgpu } from './devices.ts'
import { fillFromFiles } from './packing.ts'
import { readFully } from './read.ts'
import { createNodeSession, onnxRuntime } from './session.ts'

const { Tensor } = await onnxRuntime()

/** Node: ONNX Runtime's native build, weights mapped from their files, packed weights kept on disk. */
export const platformBackend: Backend = {
  name: 'node',
  createSession: createNodeSession,
  tensor: (dtype: DType, data: TypedArray, shape: readonly number[]) => {
    if (dtype === 'bf16') throw new EngineError('bf16 arrays are storage only; cast to f32 before feeding them')
    return new Tensor(ortType[dtype], data as never, shape)
  },
  async readRange({ file, offset, ...range }: FileRange, length: number) {
    return readFully({ file, offset, ...range }, new Uint8Array(length))
  },
  fillWeights: fillFromFiles,
  memory: () => ({ total: process.constrainedMemory() || totalmem(), free: process.availableMemory() }),
  devices: { cpu, webgpu: probeWebgpu, cuda },
}
