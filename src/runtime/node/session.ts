import type { InferenceSession } from 'onnxruntime-common'
import { ArgumentError } from '../../core/errors.ts'
import { encodeModel, type OnnxModel } from '../../core/onnx/proto.ts'
import type { Session, SessionOptions } from '../backend.ts'
import { importEngine } from './engine-package.ts'
import { withoutTelemetry } from './telemetry.ts'

let loading: Promise<typeof import('onnxruntime-common')> | undefined
/** ONNX Runtime, loaded at first use. */
export function onnxRuntime(): Promise<typeof import('onnxruntime-common')> {
  withoutTelemetry()
  loading ??= importEngine()
  return loading
}

/** One session of ONNX Runtime. Creating and running it block the calling thread. */
export async function createNodeSession(model: OnnxModel, options: SessionOptions): Promise<Session> {
  const { InferenceSession } = await onnxRuntime()
  return InferenceSession.create(encodeModel(model), sessionOptions(model, options))
}

/** `LANGEVIN_THREADS`: processor cores that ONNX Runtime uses where an option does not say; all of them unless set. */
function threadsByDefault(): number | undefined {
  const text = process.env.LANGEVIN_THREADS
  if (text === undefined || text === '') return undefined
  const threads = Number(text)
  if (!Number.isSafeInteger(threads) || threads < 0)
    throw new ArgumentError(`LANGEVIN_THREADS is "${text}": give a number of processor cores, such as 2, or 0 for all`)
  return threads
}

function sessionOptions(
  model: OnnxModel,
  {
    device,
    resident = [],
    prepack = true,
    threads = threadsByDefault(),
    arena = true,
    rewrite = true,
    layout = true,
    fallback = true,
  }: SessionOptions,
): InferenceSession.SessionOptions {
  const stays = device === 'webgpu' ? resident : []
  return {
    executionProviders:
      device === 'cpu'
        ? ['cpu']
        : [device === 'webgpu' ? ({ name: 'webgpu', storageBufferCacheMode: 'simple' } as never) : device],
    graphOptimizationLevel: rewrite ? (layout ? 'all' : 'extended') : 'disabled',
    // One block for all values, laid out beforehand, is larger than what they take as they come and go.
    enableMemPattern: device !== 'cpu',
    // Where values of many sizes come and go, as in training, ONNX Runtime's own allocator holds twice what they take. glibc's
    // holds less and is as fast; of other systems' that is not known.
    enableCpuMemArena: arena || process.platform !== 'linux',
    logSeverityLevel: 4, // Its errors come as exceptions.
    ...(threads ? { intraOpNumThreads: threads } : {}),
    ...(stays.length > 0
      ? {
          preferredOutputLocation: Object.fromEntries(
            model.graph.output.map(({ name }) => [name, stays.includes(name) ? 'gpu-buffer' : 'cpu']),
          ),
        }
      : {}),
    extra: {
      session: {
        // Only ever for graphs that we wrote: weights may then lie in any file, by its path from the root.
        model_external_initializers_file_folder_path: '/',
        set_denormal_as_zero: '1',
        disable_prepacking: prepack ? '0' : '1',
        disable_cpu_ep_fallback: fallback ? '0' : '1',
      },
    },
  }
}
