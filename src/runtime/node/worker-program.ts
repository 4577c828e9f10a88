import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { type TypedArray, viewOf } from '../../core/dtype.ts'
import { ArgumentError } from '../../core/errors.ts'
import type { OnnxModel } from '../../core/onnx/proto.ts'
import type { Tensor } from '../../core/tensor.ts'
import type { DeviceName, SessionOptions } from '../backend.ts'
import { type Computation, lowered } from '../compile.ts'
import { EngineError } from '../engine-error.ts'
import { checkedFeeds } from '../feeds.ts'
import { NdArray } from '../ndarray.ts'
import type { State } from '../state.ts'

/** Arrays on their way between threads. */
export type Message = Readonly<Record<string, Pick<NdArray, 'data' | 'shape' | 'dtype'>>>

/** What the thread is told first, for each run, and what it answers. */
export type Start = { readonly model: OnnxModel; readonly options: SessionOptions }
export type Request = { readonly values: Message; readonly carrier: ArrayBuffer }
export type Answer = { readonly outputs: Message; readonly carrier: ArrayBuffer } | Failure
interface Failure {
  readonly error: string
  readonly carrier: ArrayBuffer
}

/**
 * A program in a thread of its own: beside other programs it runs at the same time, each on cores of its own. Before each
 * run the state's values are copied to it. On the CPU only, without weights and updates.
 */
export class WorkerProgram {
  readonly device: DeviceName = 'cpu'
  private readonly worker: Worker
  private readonly inputs: readonly Tensor[]
  private readonly parameters: readonly Tensor[]
  private readonly state: State | undefined
  /** Memory in which the state travels. It comes back with each answer. */
  private carrier = new ArrayBuffer(0)
  private running: Promise<Answer> | undefined
  private ended: Promise<void> | undefined
  /** Why the thread is gone, once it is. */
  private gone: EngineError | undefined

  private constructor(worker: Worker, graph: { inputs: readonly Tensor[]; state: readonly Tensor[] }, state: State | undefined) {
    this.worker = worker
    this.inputs = graph.inputs
    this.parameters = graph.state
    this.state = state
    worker.on('error', (cause: Error) => {
      this.gone = threadFailed(cause)
    })
    worker.on('exit', (code) => {
      this.gone ??= threadEnded(code)
    })
  }

  /** @throws as `compile` does */
  static compile(
    { outputs, state }: Pick<Computation, 'outputs' | 'state'>,
    options: { readonly threads?: number },
  ): Promise<WorkerProgram> {
    return lowered({ outputs, ...(state && { state }) }, options, async (graph, session) => {
      const start: Start = { model: graph.model, options: session }
      const worker = new Worker(new URL(`./worker${extname(import.meta.url)}`, import.meta.url), {
        workerData: start,
        execArgv: process.execArgv.filter((flag) => !flag.startsWith('--input-type')),
      })
      const program = new WorkerProgram(worker, graph, state)
      const answer = await answerOf(worker)
      if ('error' in answer) throw new EngineError(answer.error)
      return program
    })
  }

  /**
   * Runs once, with the state as it is now. The thread works from the call on: whoever calls is free to run another program.
   * @throws ArgumentError for feeds that do not fit, EngineError for a failure within or a thread that is gone
   */
  async run(feeds: Readonly<Record<string, NdArray>> = {}): Promise<Record<string, NdArray>> {
    const values: Record<string, Message[string]> = {}
    for (const [name, { data, shape, dtype }] of checkedFeeds(this.inputs, feeds)) values[name] = { data, shape, dtype }
    if (this.ended) throw new ArgumentError('this program was released; compile it again')
    if (this.gone) throw this.gone
    if (this.running) throw new ArgumentError('this program is running; await the last run first')
    const request: Request = { values: { ...values, ...this.carried() }, carrier: this.carrier }
    this.worker.postMessage(request, [this.carrier])
    this.carrier = new ArrayBuffer(0)
    this.running = answerOf(this.worker)
    try {
      const answer = await this.running
      this.carrier = answer.carrier
      if ('error' in answer) throw new EngineError(answer.error)
      return Object.fromEntries(
        Object.entries(answer.outputs).map(([name, { data, shape, dtype }]) => [name, new NdArray(data, shape, dtype)]),
      )
    } finally {
      this.running = undefined
    }
  }

  /** Ends the thread, after the run in progress. Twice is once, and a thread that is gone has ended. */
  release(): Promise<void> {
    this.ended ??= this.end()
    return this.ended
  }

  private async end(): Promise<void> {
    await this.running?.catch(() => undefined)
    if (this.gone) return
    await new Promise<void>((resolve) => {
      this.worker.once('exit', () => resolve())
      this.worker.postMessage('release')
    })
  }

  /** The state's values, copied into the carrier. */
  private carried(): Message {
    const values = this.parameters.map((x) => [x, hostValueOf(this.state as State, x.name as string)] as const)
    const bytes = values.reduce((sum, [, { byteLength }]) => sum + aligned(byteLength), 0)
    if (this.carrier.byteLength !== bytes) this.carrier = new ArrayBuffer(bytes)
    const message: Record<string, Message[string]> = {}
    let offset = 0
    for (const [{ name, shape, dtype, size }, value] of values) {
      const data = viewOf(dtype, this.carrier, offset, size)
      data.set(value as never)
      message[name as string] = { data, shape, dtype }
      offset += aligned(data.byteLength)
    }
    return message
  }
}

/** Elements of any type may follow at a multiple of 8 bytes. */
const aligned = (bytes: number) => Math.ceil(bytes / 8) * 8

function hostValueOf(state: State, name: string): TypedArray {
  const value = state.get(name)
  if (value.location === 'gpu-buffer')
    throw new EngineError(
      `"${name}" of the state lies on the GPU, and a thread runs on the CPU: give it State.from(await state.read())`,
    )
  return value.data as TypedArray
}

const threadFailed = (cause: Error) => new EngineError(`a thread of ONNX Runtime failed: ${cause.message}`, { cause })
const threadEnded = (code: number) =>
  new EngineError(`a thread of ONNX Runtime ended with code ${code}; compile the program again`)

/** The thread's next answer. */
function answerOf(worker: Worker): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      worker.off('message', answered).off('error', failed).off('exit', ended)
      act()
    }
    const answered = (answer: Answer) => settle(() => resolve(answer))
    const failed = (cause: Error) => settle(() => reject(threadFailed(cause)))
    const ended = (code: number) => settle(() => reject(threadEnded(code)))
    worker.on('message', answered).on('error', failed).on('exit', ended)
  })
}
