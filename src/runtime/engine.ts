import { realpathSync } from 'node:fs'
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-common'
import type { ArrayOf, DType } from '../core/dtype.ts'
import { LangevinError } from '../core/errors.ts'
import { conv, groupNorm } from '../core/functions.ts'
import { vjp } from '../core/grad.ts'
import { lower } from '../core/onnx/lower.ts'
import { encodeModel, type OnnxModel } from '../core/onnx/proto.ts'
import { input, ones, type Tensor, zeros } from '../core/tensor.ts'
import { importEngine } from './engine-package.ts'
import { NdArray } from './ndarray.ts'

/** Where a program runs. */
export type DeviceName = 'cpu' | 'webgpu' | 'cuda'

/** The engine refused a graph or failed while running it. */
export class EngineError extends LangevinError {}

const ortType = { f32: 'float32', f16: 'float16', i32: 'int32', i64: 'int64', bool: 'bool', u8: 'uint8' } as const
const dtypeOf = Object.fromEntries(Object.entries(ortType).map(([dtype, type]) => [type, dtype])) as Record<string, DType>

let loading: Promise<typeof import('onnxruntime-common')> | undefined
/** ONNX Runtime, loaded at first use. */
export const engine = () => (loading ??= importEngine())

export interface SessionOptions {
  readonly device: DeviceName
  /** Outputs that stay on the device; the others come to the host. */
  readonly resident?: readonly string[]
  /** Repacks constant weights for speed: on unless memory matters more. */
  readonly prepack?: boolean
  readonly threads?: number
  /** Whether it allocates by itself, and keeps what was used (unless false). */
  readonly arena?: boolean
  /** Whether the engine rewrites the graph first (unless false). A graph of thousands of nodes then takes seconds. */
  readonly rewrite?: boolean
  /** Whether it may choose the layout of what it rewrites, and copy weights for it: so unless false. */
  readonly layout?: boolean
  /** On a GPU: whether the CPU may run what the GPU cannot (it may unless false, which makes such a graph an error). */
  readonly fallback?: boolean
}

/** A weight's file as a graph names it: relative to the root, symbolic links resolved (the engine refuses both otherwise). */
export function locateFromRoot(file: string): string {
  try {
    return realpathSync(file).replace(/^[/\\]+/, '')
  } catch (cause) {
    throw new EngineError(`the weights' file ${file} cannot be opened: ${(cause as Error).message}`, { cause })
  }
}

/** One session of the engine. Creating and running it block the calling thread. */
export async function createSession(
  model: OnnxModel,
  {
    device,
    resident = [],
    prepack = true,
    threads,
    arena = true,
    rewrite = true,
    layout = true,
    fallback = true,
  }: SessionOptions,
) {
  const { InferenceSession } = await engine()
  const stays = device === 'webgpu' ? resident : []
  const options: InferenceSession.SessionOptions = {
    executionProviders:
      device === 'cpu'
        ? ['cpu']
        : [device === 'webgpu' ? ({ name: 'webgpu', storageBufferCacheMode: 'simple' } as never) : device],
    graphOptimizationLevel: rewrite ? (layout ? 'all' : 'extended') : 'disabled',
    // One block for all values, laid out beforehand, is larger than what they take as they come and go.
    enableMemPattern: device !== 'cpu',
    // In training values of many sizes come and go: the engine's own allocator then holds twice what they take. glibc's
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
  return InferenceSession.create(encodeModel(model), options).catch((cause: Error) => {
    throw new EngineError(`ONNX Runtime did not accept the graph on ${device}: ${cause.message}`, { cause })
  })
}

/** A host array as the engine takes it, without a copy where the engine allows. */
export async function toOrt(array: NdArray): Promise<OrtTensor> {
  const { Tensor } = await engine()
  if (array.dtype === 'bf16') throw new EngineError('bf16 arrays are storage only; cast to f32 before feeding them')
  const data = array.data.buffer instanceof ArrayBuffer ? array.data : array.data.slice()
  return feedable(new Tensor(ortType[array.dtype], data as never, array.shape))
}

/** The engine makes Float16Arrays where JavaScript has them, yet its native side reads them as empty: it wants their bits. */
export function feedable(tensor: OrtTensor): OrtTensor {
  if (tensor.type === 'float16' && tensor.location === 'cpu' && !(tensor.data instanceof Uint16Array)) {
    const { buffer, byteOffset, length } = tensor.data as unknown as Uint16Array
    Object.defineProperty(tensor, 'data', { value: new Uint16Array(buffer, byteOffset, length) })
  }
  return tensor
}

/** The engine's CPU tensor as a host array. */
export function fromOrt(tensor: OrtTensor): NdArray {
  if (tensor.location === 'gpu-buffer')
    throw new EngineError('a tensor on the GPU was read as if on the host; read it through its State')
  const dtype = dtypeOf[tensor.type]
  if (!dtype) throw new EngineError(`the engine returned a ${tensor.type} tensor, which langevin has no dtype for`)
  return new NdArray(feedable(tensor).data as ArrayOf[DType], tensor.dims, dtype)
}

let block: Promise<number> | undefined
/**
 * Channels in a block of the CPU kernels' blocked layout, found by reordering a counted array: its second element is
 * then the first channel's neighbour. 0 where this machine's kernels have no such layout.
 */
export const channelBlock = (): Promise<number> => (block ??= detectBlock())

async function detectBlock(): Promise<number> {
  const channels = 16
  const value = (name: string) => ({
    name,
    type: { tensorType: { elemType: 1, shape: { dim: [1, channels, 1, 2].map((dimValue) => ({ dimValue })) } } },
  })
  const model: OnnxModel = {
    irVersion: 10,
    producerName: 'langevin',
    opsetImport: [
      { domain: '', version: 21 },
      { domain: 'com.microsoft.nchwc', version: 1 },
    ],
    graph: {
      name: 'block',
      node: [{ input: ['x'], output: ['y'], name: 'r', opType: 'ReorderInput', domain: 'com.microsoft.nchwc', attribute: [] }],
      initializer: [],
      input: [value('x')],
      output: [value('y')],
    },
  }
  try {
    const session = await createSession(model, { device: 'cpu' })
    const counted = Float32Array.from({ length: channels * 2 }, (_, i) => i)
    const { y } = await session.run({ x: await toOrt(new NdArray(counted, [1, channels, 1, 2], 'f32')) })
    await session.release()
    // Pixel 1 of channel 0 (value 1) follows the block's channels of pixel 0.
    const found = (fromOrt(y as OrtTensor).data as Float32Array).indexOf(1)
    return (found === 8 || found === 16) && (await blocksAgree(found)) ? found : 0
  } catch {
    return 0
  }
}

/**
 * The blocked kernels are the engine's own, promised to nobody: a convolution, its gradients and what may stand between two must
 * equal the plain ones.
 */
async function blocksAgree(channelBlock: number): Promise<boolean> {
  const channels = 64
  const [x, w] = [input('x', [1, channels, 16, 16]), input('w', [channels, channels, 3, 3])]
  const y = [conv(x, w, { padding: 1 }), conv(x, w, { stride: 2, padding: 1 })]
  const [first] = y as [Tensor, Tensor]
  const normal = groupNorm(first, channels / 4, ones([channels]), zeros([channels])).silu()
  const chain = conv(normal, w, { padding: 1 }).add(first)
  const outputs = Object.fromEntries([...y, ...vjp(y, [x, w], y), chain].map((output, i) => [`${i}`, output]))
  const wave = async ({ shape, size }: Tensor) =>
    toOrt(
      new NdArray(
        Float32Array.from({ length: size }, (_, i) => Math.sin(i)),
        shape,
        'f32',
      ),
    )
  const feeds = { x: await wave(x), w: await wave(w) }
  const run = async (channelBlock: number) => {
    const { model } = lower({ outputs }, { target: 'cpu', channelBlock })
    const session = await createSession(model, { device: 'cpu', rewrite: false })
    const results = await session.run(feeds)
    await session.release()
    return Object.keys(outputs).map((name) => fromOrt(results[name] as OrtTensor).data as Float32Array)
  }
  const [found, plain] = [await run(channelBlock), await run(0)]
  return plain.every((expected, k) => {
    const size = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
    return expected.every((value, i) => Math.abs(value - (found[k]?.[i] as number)) < 1e-4 * size)
  })
}
