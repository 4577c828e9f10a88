/// <reference path="./onnxruntime-web.d.ts" />
import type { Env, InferenceSessionFactory } from 'onnxruntime-common'
import { ArgumentError } from '../../core/errors.ts'
import type { DeviceName } from '../backend.ts'
import { EngineError } from '../engine-error.ts'

/** onnxruntime-web, one of its builds. */
export interface Engine {
  readonly env: Env
  readonly InferenceSession: InferenceSessionFactory
  /** Whether it takes weights as blobs, and reads of them what it needs. */
  readonly takesBlobs: boolean
}

export interface EngineSettings {
  /** Threads of WebAssembly; unless given, as many as there are processors, and 8 at most. Pages that are not isolated have one. */
  readonly threads?: number | undefined
  /** Where onnxruntime-web's files lie, where the bundler does not place them: a folder's URL, or one for each file. */
  readonly wasmPaths?: Env.WebAssemblyFlags['wasmPaths']
}

let settings: EngineSettings = {}
const loading = new Map<'wasm' | 'webgpu', Promise<Engine>>()

/** Settings of ONNX Runtime for this thread. @throws ArgumentError once it is loaded */
export function configureEngine(chosen: EngineSettings): void {
  if (loading.size > 0) throw new ArgumentError('ONNX Runtime is loaded already: configure it before anything is compiled')
  settings = chosen
}

/** Whether this page may share memory between threads, which WebAssembly's need. */
export const isIsolated = (): boolean => globalThis.crossOriginIsolated === true

export const threadsOf = (threads = settings.threads ?? Math.min(navigator.hardwareConcurrency, 8)): number =>
  isIsolated() ? Math.max(1, threads) : 1

/** Whether WebAssembly can wait for promises here, without which a larger build does. */
export const hasJspi = (): boolean => 'Suspending' in WebAssembly

/** The build for a device, loaded at first use. The one with WebGPU runs on the processor too. @throws EngineError */
export function engineFor(device: DeviceName, threads?: number): Promise<Engine> {
  const build = device === 'webgpu' || loading.has('webgpu') ? 'webgpu' : 'wasm'
  const engine = loading.get(build) ?? load(build, threads)
  loading.set(build, engine)
  return engine
}

async function load(build: 'wasm' | 'webgpu', threads?: number): Promise<Engine> {
  const takesBlobs = build === 'webgpu' && hasJspi()
  try {
    const { env, InferenceSession } =
      build === 'wasm'
        ? await import('onnxruntime-web/wasm')
        : takesBlobs
          ? await import('onnxruntime-web/jspi')
          : await import('onnxruntime-web/webgpu')
    env.logLevel = 'fatal' // Its errors come as exceptions.
    env.wasm.numThreads = threadsOf(threads)
    if (settings.wasmPaths !== undefined) env.wasm.wasmPaths = settings.wasmPaths
    return { env, InferenceSession, takesBlobs }
  } catch (cause) {
    throw new EngineError(
      `onnxruntime-web cannot be loaded: ${(cause as Error).message}; install onnxruntime-web 1.30.0 beside langevin`,
      { cause },
    )
  }
}
