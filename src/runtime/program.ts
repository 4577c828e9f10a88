import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-common'
import { bytesPer } from '../core/dtype.ts'
import { ArgumentError, DTypeError } from '../core/errors.ts'
import { lower } from '../core/onnx/lower.ts'
import type { Spec } from '../core/ops/op.ts'
import { sameShape, showShape, sizeOf } from '../core/shape.ts'
import type { Tensor } from '../core/tensor.ts'
import {
  channelBlock,
  createSession,
  type DeviceName,
  EngineError,
  fromOrt,
  locateFromRoot,
  type SessionOptions,
  toOrt,
} from './engine.ts'
import { fusedAttentionWorks } from './gpu.ts'
import type { NdArray } from './ndarray.ts'
import { PreparedWeights } from './prepared.ts'
import { type Quantize, quantizationOf } from './quantize.ts'
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
  /** Layers in few bits; in float unless given. On the CPU only. */
  readonly quantization?: Quantize | undefined
}

/** A compiled graph. One run at a time; a run blocks its thread. */
export class Program {
  readonly device: DeviceName
  private readonly session: InferenceSession
  private readonly inputs: readonly Tensor[]
  private readonly stateNames: readonly string[]
  private readonly state: State | undefined
  private readonly updates: readonly string[]
  private running: Promise<Record<string, NdArray>> | undefined
  private released = false

  constructor(
    session: InferenceSession,
    device: DeviceName,
    graph: { inputs: readonly Tensor[]; state: readonly Tensor[] },
    computation: Computation,
  ) {
    this.session = session
    this.device = device
    this.inputs = graph.inputs
    this.stateNames = graph.state.map((x) => x.name as string)
    this.state = computation.state
    this.updates = [...(computation.updates?.keys() ?? [])]
  }

  /** What `run` must be given. */
  get inputNames(): string[] {
    return this.inputs.map((x) => x.name as string)
  }

  /**
   * Runs once. Every input must be given, in its shape and dtype; the state moves on.
   * @throws ArgumentError for feeds that do not fit, EngineError for a failure within (the state then stays as it was).
   */
  async run(feeds: Readonly<Record<string, NdArray>> = {}): Promise<Record<string, NdArray>> {
    if (this.released) throw new ArgumentError('this program was released; compile it again')
    if (this.running) throw new ArgumentError('this program is running; await the last run first, or compile a second program')
    this.running = this.runOnce(feeds)
    try {
      return await this.running
    } finally {
      this.running = undefined
    }
  }

  /** Frees the engine's memory, after the run in progress; the program cannot run again. Twice is once. */
  async release(): Promise<void> {
    if (this.released) return
    this.released = true
    await this.running?.catch(() => undefined)
    await (this.state ? this.state.free(this.session) : this.session.release())
  }

  private async runOnce(feeds: Readonly<Record<string, NdArray>>): Promise<Record<string, NdArray>> {
    const results = await this.session.run(await this.values(feeds)).catch((cause: Error) => {
      throw new EngineError(`the program failed on ${this.device}: ${cause.message}`, { cause })
    })
    for (const name of this.updates) this.state?.replace(name, results[updateName(name)] as OrtTensor, this.session)
    return Object.fromEntries(
      Object.entries(results)
        .filter(([name]) => !name.startsWith(UPDATE))
        .map(([name, tensor]) => [name, fromOrt(tensor)]),
    )
  }

  private async values(feeds: Readonly<Record<string, NdArray>>): Promise<Record<string, OrtTensor>> {
    const values: Record<string, OrtTensor> = {}
    for (const [name, value] of checkedFeeds(this.inputs, feeds)) values[name] = await toOrt(value)
    for (const name of this.stateNames) {
      const value = (this.state as State).get(name)
      if (value.location === 'gpu-buffer' && this.device !== 'webgpu') {
        throw new EngineError(
          `"${name}" of the state lies on the GPU and this program runs on ${this.device}: give it State.from(await state.read())`,
        )
      }
      values[name] = value
    }
    return values
  }
}

const quoted = (names: readonly string[]) => names.map((name) => `"${name}"`).join(', ')

const UPDATE = 'updated:'
const updateName = (name: string) => UPDATE + name

/**
 * The value of each input.
 * @throws ArgumentError for one that is missing or does not fit, and for a value that no input takes
 */
export function checkedFeeds(inputs: readonly Tensor[], feeds: Readonly<Record<string, NdArray>>): [string, NdArray][] {
  const names = inputs.map(({ name }) => name as string)
  const unknown = Object.keys(feeds).filter((name) => !names.includes(name))
  if (unknown.length > 0)
    throw new ArgumentError(`no input ${quoted(unknown)}; this program takes ${names.length > 0 ? quoted(names) : 'none'}`)
  return inputs.map((x, i) => [names[i] as string, checkedFeed(x, feeds[names[i] as string])])
}

function checkedFeed(x: Tensor, value: NdArray | undefined): NdArray {
  if (!value) throw new ArgumentError(`input "${x.name}" is missing: expected ${x.dtype}${showShape(x.shape)}`)
  if (!sameShape(value.shape, x.shape) || value.dtype !== x.dtype) {
    throw new ArgumentError(
      `input "${x.name}": expected ${x.dtype}${showShape(x.shape)}, got ${value.dtype}${showShape(value.shape)}`,
    )
  }
  return value
}

/**
 * Symbolic tensors → a program. Takes about a second for a U-Net of 7,000 nodes.
 * @throws ArgumentError for parameters without a value or updates that do not fit the state, EngineError where the
 * engine refuses the graph.
 */
export const compile = (computation: Computation, options: CompileOptions = {}): Promise<Program> =>
  lowered(computation, options, async (graph, session) => {
    return new Program(await createSession(graph.model, session), session.device, graph, computation)
  })

/** What `use` makes of a computation's graph, checked, and of what its session must be told. */
export async function lowered<T>(
  computation: Computation,
  { device = 'cpu', quantization, ...options }: CompileOptions,
  use: (graph: ReturnType<typeof lower>, session: SessionOptions) => Promise<T>,
): Promise<T> {
  const { outputs, weights = new Map(), state, updates = new Map<string, Tensor>() } = computation
  const named = Object.fromEntries([...updates].map(([name, x]) => [updateName(name), x]))
  for (const name of Object.keys(outputs)) {
    if (name.startsWith(UPDATE)) throw new ArgumentError(`output "${name}": names from "${UPDATE}" on are for the state`)
  }
  if (quantization && device !== 'cpu')
    throw new ArgumentError(`quantised layers run on the CPU, not on ${device}: leave one of the two out`)
  const prepared = new PreparedWeights(weights)
  try {
    const graph = lower(
      { outputs: { ...outputs, ...named }, weights },
      {
        target: device === 'webgpu' ? 'webgpu' : 'cpu',
        channelBlock: device === 'cpu' ? await channelBlock() : 0,
        fusedAttention: device !== 'webgpu' || (await fusedAttentionWorks()),
        locate: locateFromRoot,
        quantization: quantization && (await quantizationOf(quantization)),
        ...(device === 'cpu' ? { preparer: prepared } : {}),
      },
    )
    prepared.close()
    for (const x of [...graph.inputs, ...graph.state]) checkStored(x.name as string, x)
    for (const [name, x] of Object.entries({ ...outputs, ...named })) checkStored(name, x)
    const missing = graph.state.filter((x) => !state?.has(x.name as string)).map((x) => x.name as string)
    if (missing.length > 0) {
      const some = missing.length > 5 ? `${quoted(missing.slice(0, 5))} and ${missing.length - 5} more` : quoted(missing)
      throw new ArgumentError(`parameters without a value: ${some}; give them in weights or in state`)
    }
    for (const x of graph.state) checkState('parameter', x.name as string, x, state?.specOf(x.name as string))
    for (const [name, x] of updates) checkState('update of', name, x, state?.specOf(name))
    return await use(graph, {
      device,
      resident: Object.keys(named),
      arena: device !== 'cpu' || graph.state.length === 0,
      // Where everything lies as its kernels take it the engine would search for a second, or for many in training, and find nothing.
      rewrite: device !== 'cpu' || (graph.state.length === 0 && (graph.layoutLeft || graph.foldable)),
      layout: graph.layoutLeft,
      // Weights laid out once more take their size again, and at these sizes seconds.
      prepack: quantization !== undefined || bytesInFiles(weights) < 2 ** 30,
      ...options,
    })
  } finally {
    prepared.remove()
  }
}

const bytesInFiles = (weights: Weights): number =>
  [...weights.values()].reduce((sum, value) => sum + ('file' in value ? sizeOf(value.shape) * bytesPer[value.dtype] : 0), 0)

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

/** Compiles, runs once, releases: for tests and one-off values. */
export async function evaluate(
  computation: Computation | Readonly<Record<string, Tensor>>,
  feeds: Readonly<Record<string, NdArray>> = {},
  options: CompileOptions = {},
): Promise<Record<string, NdArray>> {
  const program = await compile(isComputation(computation) ? computation : { outputs: computation }, options)
  try {
    return await program.run(feeds)
  } finally {
    await program.release()
  }
}

const isComputation = (c: Computation | Readonly<Record<string, Tensor>>): c is Computation =>
  typeof c.outputs === 'object' && !('op' in c.outputs)
