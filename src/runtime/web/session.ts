import type { InferenceSession } from 'onnxruntime-common'
import { encodeModel, type OnnxModel } from '../../core/onnx/proto.ts'
import type { Session, SessionOptions } from '../backend.ts'
import { EngineError } from '../engine-error.ts'
import { engineFor } from './engine.ts'
import { watchGpu, whyGpuIsGone } from './gpu.ts'
import { externalDataOf } from './weights.ts'

/** Sessions are made one after another: ONNX Runtime has one place for weights from outside. */
let last: Promise<unknown> = Promise.resolve()

/** One session of onnxruntime-web. On the processor, creating and running it block the thread. */
export async function createWebSession(model: OnnxModel, options: SessionOptions): Promise<Session> {
  const { InferenceSession, env, takesBlobs } = await engineFor(options.device, options.threads)
  const externalData = await externalDataOf(model, takesBlobs)
  const create = () => InferenceSession.create(encodeModel(model), { ...sessionOptions(model, options), externalData })
  const creating = last.then(create)
  last = creating.catch(() => undefined)
  const session = await creating.catch((cause: unknown) => {
    throw inWords(cause, options)
  })
  if (options.device === 'webgpu') watchGpu(env)
  return {
    run: (feeds) =>
      session.run(feeds).catch((cause: unknown) => {
        throw inWords(cause, options)
      }),
    release: () => session.release(),
  }
}

function sessionOptions(
  model: OnnxModel,
  { device, resident = [], prepack = true, arena = true, rewrite = true, layout = true, fallback = true }: SessionOptions,
): InferenceSession.SessionOptions {
  const stays = device === 'webgpu' ? resident : []
  return {
    executionProviders: device === 'webgpu' ? [{ name: 'webgpu', storageBufferCacheMode: 'simple' } as never] : ['wasm'],
    graphOptimizationLevel: rewrite ? (layout ? 'all' : 'extended') : 'disabled',
    enableMemPattern: device !== 'cpu',
    enableCpuMemArena: arena,
    logSeverityLevel: 4, // Its errors come as exceptions.
    ...(stays.length > 0 && {
      preferredOutputLocation: Object.fromEntries(
        model.graph.output.map(({ name }) => [name, stays.includes(name) ? 'gpu-buffer' : 'cpu'] as const),
      ),
    }),
    extra: { session: { disable_prepacking: prepack ? '0' : '1', disable_cpu_ep_fallback: fallback ? '0' : '1' } },
  }
}

const noMemory = /bad_alloc|out of memory|integer overflow|failed to allocate|memory allocation|cannot enlarge memory/i

/** A failure of ONNX Runtime's, with what can be done about it. WebAssembly's own failures are numbers at times. */
function inWords(cause: unknown, { device }: SessionOptions): Error {
  const message = cause instanceof Error ? cause.message : String(cause)
  const gone = device === 'webgpu' ? whyGpuIsGone() : undefined
  if (gone !== undefined) return new EngineError(gone, { cause })
  if (/^\d+$/.test(message))
    return new EngineError(`WebAssembly failed without saying why (${message}): end this worker and start another`, { cause })
  if (noMemory.test(message))
    return new EngineError(
      `the memory of WebAssembly, 4 GiB, is used up (${message}): end this worker and start another, with smaller pictures, ` +
        'one network in memory at a time (`lowMemory`), or on WebGPU, whose weights and values lie on the GPU',
      { cause },
    )
  return cause instanceof Error ? cause : new EngineError(message)
}
