import { ArgumentError, DTypeError } from '../core/errors.ts'
import type { Spec } from '../core/graph.ts'
import { type Lowered, lower } from '../core/onnx/lower.ts'
import { bytesOfStored, isHalf } from '../core/onnx/stored.ts'
import { sameShape, showShape } from '../core/shape.ts'
import type { Tensor } from '../core/tensor.ts'
import type { SessionOptions } from './backend.ts'
import { backend } from './current-backend.ts'
import { quoted } from './feeds.ts'
import { fusedAttentionWorks } from './gpu.ts'
import { channelBlock } from './layout-detection.ts'
import { type Quantize, quantizationOf } from './quantization.ts'
import type { State } from './state.ts'
import type { Weights } from './weights.ts'

/** What a program computes. */
export interface Computation {
  readonly outputs: Readonly<Record<string, Tensor>>
  /** Values of parameters, fixed in the program. */
  readonly weights?: Weights
  /** Parameters that change between runs: every parameter without a weight must have a value here. */
  readonly state?: State
  /** New values for parameters of the state, put there after each run. */
  readonly updates?: ReadonlyMap<string, Tensor>
}

export type CompileOptions = Partial<Omit<SessionOptions, 'resident' | 'layout'>> & {
  /**
   * Large weights that are stored in 16 bits: `speed` widens them once, to twice their size, `size` keeps them and widens one
   * layer at a time, at every run. Unless given, `size` where such weights take 256 MB or more. On the CPU only.
   */
  readonly memory?: 'speed' | 'size' | undefined
  /** Layers in few bits; in float unless given. On the CPU only. */
  readonly quantization?: Quantize | undefined
}

/** Outputs that are the state's new values. */
const UPDATE = 'updated:'
export const updateName = (name: string) => UPDATE + name

export const isUpdate = (name: string): boolean => name.startsWith(UPDATE)

/** What `use` makes of a computation's graph, checked, and of what its session must be told. */
export async function lowered<T>(
  computation: Computation,
  { device = 'cpu', quantization, memory, ...options }: CompileOptions,
  use: (graph: Lowered, session: SessionOptions) => Promise<T>,
): Promise<T> {
  const { outputs, weights = new Map(), state, updates = new Map<string, Tensor>() } = computation
  const named = Object.fromEntries([...updates].map(([name, x]) => [updateName(name), x]))
  for (const name of Object.keys(outputs)) {
    if (isUpdate(name)) throw new ArgumentError(`output "${name}": names from "${UPDATE}" on are for the state`)
  }
  if (quantization && device !== 'cpu')
    throw new ArgumentError(`quantised layers run on the CPU, not on ${device}: leave one of the two out`)
  const keepHalf = device === 'cpu' && (memory ?? (bytesInHalf(weights) >= LARGE ? 'size' : 'speed')) === 'size'
  const graph = lower(
    { outputs: { ...outputs, ...named }, weights },
    {
      target: device === 'webgpu' ? 'webgpu' : 'cpu',
      channelBlock: device === 'cpu' ? await channelBlock() : 0,
      fusedAttention: device !== 'webgpu' || (await fusedAttentionWorks()),
      packs: device === 'cpu',
      keepHalf,
      quantization: quantization && (await quantizationOf(quantization)),
    },
  )
  for (const x of [...graph.inputs, ...graph.state]) checkStored(x.name as string, x)
  for (const [name, x] of Object.entries({ ...outputs, ...named })) checkStored(name, x)
  const missing = graph.state.filter((x) => !state?.has(x.name as string)).map((x) => x.name as string)
  if (missing.length > 0) {
    const some = missing.length > 5 ? `${quoted(missing.slice(0, 5))} and ${missing.length - 5} more` : quoted(missing)
    throw new ArgumentError(`parameters without a value: ${some}; give them in weights or in state`)
  }
  for (const x of graph.state) checkState('parameter', x.name as string, x, state?.specOf(x.name as string))
  for (const [name, x] of updates) checkState('update of', name, x, state?.specOf(name))
  const filled = await (await backend()).fillWeights(graph)
  try {
    return await use(graph, {
      device,
      resident: Object.keys(named),
      // Where weights are widened at every run values of many sizes come and go, as in training.
      arena: device !== 'cpu' || (graph.state.length === 0 && !keepHalf),
      // If all weights are packed, rewriting the graph takes a second, or many in training, and finds nothing.
      rewrite: device !== 'cpu' || (graph.state.length === 0 && !keepHalf && (graph.layoutLeft || graph.foldable)),
      layout: graph.layoutLeft,
      // Weights that ONNX Runtime packs take their size again, and at these sizes seconds.
      prepack: quantization !== undefined || (!keepHalf && bytesInFiles(weights) < 2 ** 30),
      ...options,
    })
  } finally {
    filled.release()
  }
}

/** Bytes of 16-bit weights from which on they are not widened as a whole. */
const LARGE = 2 ** 28

const bytesInHalf = (weights: Weights): number =>
  [...weights.values()].reduce((sum, value) => sum + (isHalf(value.dtype) ? bytesOfStored(value) : 0), 0)

const bytesInFiles = (weights: Weights): number =>
  [...weights.values()].reduce((sum, value) => sum + ('file' in value ? bytesOfStored(value) : 0), 0)

function checkStored(name: string, { dtype }: Spec): void {
  if (dtype === 'bf16')
    throw new DTypeError(`"${name}" is bf16, which the engine neither takes nor gives: cast it in the graph to f32 or f16`)
}

function checkState(what: string, name: string, x: Spec, stored: Spec | undefined): void {
  if (!stored) throw new ArgumentError(`${what} "${name}": the state has no such name`)
  if (!sameShape(stored.shape, x.shape) || stored.dtype !== x.dtype) {
    const [got, held] = [x, stored].map(({ dtype, shape }) => `${dtype}${showShape(shape)}`)
    throw new ArgumentError(`${what} "${name}": ${got}, but the state holds ${held}`)
  }
}
