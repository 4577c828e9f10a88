import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { ArgumentError } from '../core/errors.ts'
import type { Tensor } from '../core/tensor.ts'
import { type DeviceName, EngineError, type SessionOptions } from './engine.ts'
import { NdArray } from './ndarray.ts'
import { type Computation, checkedFeeds, lowered } from './program.ts'
import type { State } from './state.ts'

/** Arrays on their way between threads. */
export type Message = Readonly<Record<string, Pick<NdArray, 'data' | 'shape' | 'dtype'>>>

/** What the thread is told first, for each run, and what it answers. */
export type Start = { readonly model: Parameters<Parameters<typeof lowered>[2]>[0]['model']; readonly options: SessionOptions }
export type Request = { readonly values: Message; readonly carrier: ArrayBuffer }
export type Answer = { readonly outputs: Message; readonly carrier: ArrayBuffer } | { readonly error: string }

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
  private running = false
  private ended: Promise<void> | undefined

  private constructor(worker: Worker, graph: { inputs: readonly Tensor[]; state: readonly Tensor[] }, state: State | undefined) {
    this.worker = worker
    this.inputs = graph.inputs
    this.parameters = graph.state
    this.state = state
  }

  /** @throws as `compile` does */
  static compile(
    { outputs, state }: Pick<Computation, 'outputs' | 'state'>,
    options: { readonly threads?: number },
  ): Promise<WorkerProgram> {
    return lowered({ outputs, ...(state && { state }) }, options, async (graph, session) => {
      const start: Start = { model: graph.model, options: session }
      const worker = new Worker(new URL(`./worker${extname(import.meta.url)}`, import.meta.url), { workerData: start })
      await answerOf(worker)
      return new WorkerProgram(worker, graph, state)
    })
  }

  /** Runs once, with the state as it is now. The thread works from the call on: whoever calls is free to run another program. */
  async run(feeds: Readonly<Record<string, NdArray>> = {}): Promise<Record<string, NdArray>> {
    const values: Record<string, Message[string]> = {}
    for (const [name, { data, shape, dtype }] of checkedFeeds(this.inputs, feeds)) values[name] = { data, shape, dtype }
    if (this.ended) throw new ArgumentError('this program was released; compile it again')
    if (this.running) throw new ArgumentError('this program is running; await the last run first')
    this.running = true
    const request: Request = { values: { ...values, ...this.carried() }, carrier: this.carrier }
    this.worker.postMessage(request, [this.carrier])
    const { outputs, carrier } = await answerOf(this.worker).finally(() => {
      this.running = false
    })
    this.carrier = carrier
    return Object.fromEntries(
      Object.entries(outputs).map(([name, { data, shape, dtype }]) => [name, new NdArray(data, shape, dtype)]),
    )
  }

  /** Ends the thread, after the run in progress. Twice is once. */
  release(): Promise<void> {
    this.ended ??= new Promise((resolve) => {
      this.worker.once('exit', () => resolve())
      this.worker.postMessage('release')
    })
    return this.ended
  }

  /** The state's values, copied into the carrier. */
  private carried(): Message {
    const values = this.parameters.map((x) => [x, this.state?.get(x.name as string).data as Float32Array] as const)
    const bytes = values.reduce((sum, [, { byteLength }]) => sum + byteLength, 0)
    if (this.carrier.byteLength !== bytes) this.carrier = new ArrayBuffer(bytes)
    const message: Record<string, Message[string]> = {}
    let offset = 0
    for (const [{ name, shape, dtype }, value] of values) {
      const data = new Float32Array(this.carrier, offset, value.length)
      data.set(value)
      message[name as string] = { data, shape, dtype }
      offset += data.byteLength
    }
    return message
  }
}

function answerOf(worker: Worker): Promise<Exclude<Answer, { error: string }>> {
  return new Promise((resolve, reject) => {
    const settle = (error: Error | undefined, answer?: Exclude<Answer, { error: string }>) => {
      worker.off('message', answered).off('error', failed).off('exit', ended)
      if (answer) resolve(answer)
      else reject(error)
    }
    const answered = (answer: Answer) => ('error' in answer ? settle(new EngineError(answer.error)) : settle(undefined, answer))
    const failed = (cause: Error) => settle(new EngineError(`a thread of the engine failed: ${cause.message}`, { cause }))
    const ended = (code: number) => settle(new EngineError(`a thread of the engine ended with code ${code}`))
    worker.on('message', answered).on('error', failed).on('exit', ended)
  })
}
