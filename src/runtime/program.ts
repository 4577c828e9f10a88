import type { Tensor as OrtTensor } from 'onnxruntime-common'
import { ArgumentError } from '../core/errors.ts'
import type { Tensor } from '../core/tensor.ts'
import type { DeviceName, Session } from './backend.ts'
import { type CompileOptions, type Computation, isUpdate, lowered, updateName } from './compile.ts'
import { createSession, EngineError, fromOrt, toOrt } from './engine.ts'
import { checkedFeeds } from './feeds.ts'
import type { NdArray } from './ndarray.ts'
import type { State } from './state.ts'

export type { CompileOptions, Computation } from './compile.ts'

/** A compiled graph. One run at a time; a run blocks its thread. */
export class Program {
  readonly device: DeviceName
  private readonly session: Session
  private readonly inputs: readonly Tensor[]
  private readonly stateNames: readonly string[]
  private readonly state: State | undefined
  private readonly updates: readonly string[]
  private running: Promise<Record<string, NdArray>> | undefined
  private released = false

  constructor(
    session: Session,
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

  /** Frees ONNX Runtime's memory, after the run in progress; the program cannot run again. Twice is once. */
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
        .filter(([name]) => !isUpdate(name))
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

/**
 * Symbolic tensors → a program. Takes about a second for a U-Net of 7,000 nodes.
 * @throws ArgumentError for parameters without a value or updates that do not fit the state, EngineError where the
 * engine refuses the graph.
 */
export const compile = (computation: Computation, options: CompileOptions = {}): Promise<Program> =>
  lowered(computation, options, async (graph, session) => {
    return new Program(await createSession(graph.model, session), session.device, graph, computation)
  })

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
