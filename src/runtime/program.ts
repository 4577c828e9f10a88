import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-common'
import { ArgumentError } from '../core/errors.ts'
import { lower } from '../core/onnx/lower.ts'
import { sameShape, showShape } from '../core/shape.ts'
import type { Tensor } from '../core/tensor.ts'
import { channelBlock, createSession, type DeviceName, fromOrt, locateFromRoot, type SessionOptions, toOrt } from './engine.ts'
import type { NdArray } from './ndarray.ts'
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

export type CompileOptions = Partial<Omit<SessionOptions, 'resident'>>

/** A compiled graph. One run at a time; a run blocks its thread. */
export class Program {
  readonly device: DeviceName
  private readonly session: InferenceSession
  private readonly inputs: readonly Tensor[]
  private readonly stateNames: readonly string[]
  private readonly state: State | undefined
  private readonly updates: readonly string[]
  private busy = false

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

  /** Runs once. Every input must be given, in its shape and dtype; the state moves on. */
  async run(feeds: Readonly<Record<string, NdArray>> = {}): Promise<Record<string, NdArray>> {
    if (this.busy) throw new ArgumentError('this program is running; await the last run first, or compile a second program')
    const values: Record<string, OrtTensor> = {}
    for (const x of this.inputs) values[x.name as string] = await toOrt(checkedFeed(x, feeds[x.name as string]))
    const unknown = Object.keys(feeds).filter((name) => !this.inputs.some((x) => x.name === name))
    if (unknown.length > 0) {
      throw new ArgumentError(
        `no input "${unknown.join('", "')}"; this program takes ${this.inputs.map((x) => `"${x.name}"`).join(', ') || 'none'}`,
      )
    }
    for (const name of this.stateNames) values[name] = (this.state as State).get(name)
    this.busy = true
    try {
      const results = await this.session.run(values)
      for (const name of this.updates) this.state?.replace(name, results[updateName(name)] as OrtTensor)
      return Object.fromEntries(
        Object.entries(results)
          .filter(([name]) => !name.startsWith(UPDATE))
          .map(([name, tensor]) => [name, fromOrt(tensor)]),
      )
    } finally {
      this.busy = false
    }
  }

  /** Frees the engine's memory. */
  async release(): Promise<void> {
    await this.session.release()
  }
}

const UPDATE = 'updated:'
const updateName = (name: string) => UPDATE + name

function checkedFeed(x: Tensor, value: NdArray | undefined): NdArray {
  if (!value) throw new ArgumentError(`input "${x.name}" is missing: expected ${x.dtype}${showShape(x.shape)}`)
  if (!sameShape(value.shape, x.shape) || value.dtype !== x.dtype) {
    throw new ArgumentError(
      `input "${x.name}": expected ${x.dtype}${showShape(x.shape)}, got ${value.dtype}${showShape(value.shape)}`,
    )
  }
  return value
}

/** Symbolic tensors → a program. Takes about a second for a U-Net of 7,000 nodes. */
export async function compile(computation: Computation, { device = 'cpu', ...options }: CompileOptions = {}): Promise<Program> {
  const { outputs, weights = new Map(), state, updates = new Map<string, Tensor>() } = computation
  const named = Object.fromEntries([...updates].map(([name, x]) => [updateName(name), x]))
  const graph = lower(
    { outputs: { ...outputs, ...named }, weights },
    {
      target: device === 'webgpu' ? 'webgpu' : 'cpu',
      channelBlock: device === 'cpu' ? await channelBlock() : 0,
      locate: locateFromRoot,
    },
  )
  const missing = graph.state.filter((x) => !state?.has(x.name as string))
  if (missing.length > 0) {
    throw new ArgumentError(
      `${missing.length} parameters have no value: ${missing
        .slice(0, 5)
        .map((x) => x.name)
        .join(', ')}…; give them in weights or in state`,
    )
  }
  for (const [name, x] of updates) {
    const shape = state?.shapeOf(name)
    if (!shape || !sameShape(shape, x.shape)) {
      throw new ArgumentError(
        `update of "${name}": ${showShape(x.shape)} for a state of ${shape ? showShape(shape) : 'no such name'}`,
      )
    }
  }
  const session = await createSession(graph.model, { device, resident: Object.keys(named), ...options })
  return new Program(session, device, graph, computation)
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
