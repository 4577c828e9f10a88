import { Tensor } from 'onnxruntime-common'
import type { DType, TypedArray } from '../../core/dtype.ts'
import type { Backend, Device } from '../backend.ts'
import { EngineError, ortType } from '../engine-error.ts'
import { isIsolated, threadsOf } from './engine.ts'
import { probeGpu } from './gpu.ts'
import { createWebSession } from './session.ts'
import { fillFromBlobs, readRange } from './weights.ts'

/** What WebAssembly of 32 bits can address. */
const MOST = 2 ** 32

async function processor(): Promise<Device> {
  const threads = threadsOf()
  const alone = isIsolated() ? '' : '; more need the headers Cross-Origin-Opener-Policy and Cross-Origin-Embedder-Policy'
  return {
    name: 'cpu',
    available: true,
    description: `the processor through WebAssembly, ${threads} thread${threads === 1 ? alone && ` (${alone.slice(2)})` : 's'}`,
    goodFor: 'small models, and training of small networks',
  }
}

/** A browser: onnxruntime-web, weights from mounted files, packed anew for each program. */
export const platformBackend: Backend = {
  name: 'web',
  createSession: createWebSession,
  tensor: (dtype: DType, data: TypedArray, shape: readonly number[]) => {
    if (dtype === 'bf16') throw new EngineError('bf16 arrays are storage only; cast to f32 before feeding them')
    return new Tensor(ortType[dtype], data as never, shape)
  },
  readRange,
  fillWeights: fillFromBlobs,
  memory() {
    const { deviceMemory = 4 } = navigator as { deviceMemory?: number }
    const total = Math.min(MOST, deviceMemory * 2 ** 30)
    return { total, free: total }
  },
  devices: { cpu: processor, webgpu: probeGpu },
}
