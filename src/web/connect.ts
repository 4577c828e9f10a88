import { LangevinError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type {
  ArrayMessage,
  FromWorker,
  Measure,
  ModelSource,
  OpenedMessage,
  OpenSettings,
  Preview,
  Request,
  ResultMessage,
  StepMessage,
} from './messages.ts'
import type { DownloadProgress } from './store.ts'

/** What failed in a worker. `name` is the error's class there, as `ConfigError`. */
export class WorkerError extends LangevinError {
  constructor(name: string, message: string) {
    super(message)
    this.name = name
  }
}

/** What a run made, as a pipeline's `generate` returns it. */
export type WorkerResult =
  | { readonly type: 'pictures'; readonly pictures: NdArray<'f32'> }
  | { readonly type: 'frames'; readonly frames: NdArray<'f32'>; readonly rate: number }
  | { readonly type: 'text'; readonly texts: readonly string[] }
  | { readonly type: 'latents'; readonly latents: NdArray<'f32'> }

/** A step of a run, with what the run would end with now if a preview was asked for. */
export type Step = Omit<StepMessage, 'preview'> & { readonly preview?: WorkerResult }

interface Stoppable {
  readonly signal?: AbortSignal | undefined
}

/** A model that is open in a worker. */
export interface Model extends Omit<OpenedMessage, 'model'> {
  /**
   * A run, with the options of its pipeline: yields every step, returns what it made.
   *
   * @param how.preview what each step carries: nothing, an outline at little cost, or the decoded picture
   * @throws WorkerError; the signal's reason where that stopped it
   */
  generate(
    options?: Readonly<Record<string, unknown>>,
    how?: Stoppable & { readonly preview?: Preview },
  ): AsyncGenerator<Step, WorkerResult, void>
  /** Frees its memory, as far as WebAssembly gives it back: what one model needed stays for the next. */
  close(): Promise<void>
}

/** A worker with langevin in it. One thing is done at a time, in the order in which it was asked for. */
export interface Langevin {
  /** What opening a model would fetch. */
  measure(source: ModelSource): Promise<Measure>
  /** Opens a model, and fetches first what is not here yet. @throws WorkerError; the signal's reason where that stopped it */
  open(
    source: ModelSource,
    settings?: OpenSettings,
    how?: Stoppable & { readonly onProgress?: (progress: DownloadProgress) => void },
  ): Promise<Model>
  /** Runs a function of the worker's own, by the name that it has in `serve({ tasks })`. */
  task<T = unknown, R = unknown>(name: string, input?: unknown, how?: Stoppable): AsyncGenerator<T, R, void>
  /** Ends the worker, at once, with all its memory. */
  end(): void
}

/** What is waited for: what came, and who to wake. */
interface Call {
  readonly events: FromWorker[]
  wake: () => void
}

/** Speaks with a worker that calls `serve` of `langevin/web/worker`. */
export function connect(worker: Worker): Langevin {
  const calls = new Map<number, Call>()
  let last = 0
  let ended: WorkerError | undefined

  const endAll = (error: WorkerError) => {
    ended ??= error
    for (const { wake } of calls.values()) wake()
  }
  worker.addEventListener('message', ({ data }: MessageEvent<FromWorker>) => {
    const call = calls.get(data.id)
    call?.events.push(data)
    call?.wake()
  })
  worker.addEventListener('error', ({ message }) => {
    endAll(new WorkerError('WorkerError', `the worker failed: ${message || 'its script could not be loaded'}`))
  })

  async function* call<T, R>(request: Request, { signal }: Stoppable = {}): AsyncGenerator<T, R, void> {
    signal?.throwIfAborted()
    const id = ++last
    const mine: Call = { events: [], wake: () => undefined }
    calls.set(id, mine)
    const cancel = () => worker.postMessage({ type: 'cancel', id })
    signal?.addEventListener('abort', cancel)
    let open = true
    try {
      if (ended) throw ended
      worker.postMessage({ ...request, id })
      for (;;) {
        const event = mine.events.shift()
        if (event?.type === 'progress') yield event.value as T
        else if (event) {
          open = false
          if (event.type === 'result') return event.value as R
          signal?.throwIfAborted()
          throw new WorkerError(event.error.name, event.error.message)
        } else if (ended) throw ended
        else
          await new Promise<void>((resolve) => {
            mine.wake = resolve
          })
      }
    } finally {
      if (open && !ended) cancel()
      signal?.removeEventListener('abort', cancel)
      calls.delete(id)
    }
  }

  async function resultOf<T, R>(run: AsyncGenerator<T, R, void>, onProgress?: (value: T) => void): Promise<R> {
    for (;;) {
      const next = await run.next()
      if (next.done) return next.value
      onProgress?.(next.value)
    }
  }

  return {
    measure: (source) => resultOf(call<never, Measure>({ type: 'measure', source })),
    async open(source, settings = {}, { signal, onProgress } = {}) {
      const opening = call<DownloadProgress, OpenedMessage>({ type: 'open', source, settings }, { signal })
      const { model, ...told } = await resultOf(opening, onProgress)
      return {
        ...told,
        async *generate(options = {}, { signal, preview = 'none' } = {}) {
          const run = call<StepMessage, ResultMessage>({ type: 'generate', model, options, preview }, { signal })
          try {
            for (;;) {
              const next = await run.next()
              if (next.done) return received(next.value)
              const { preview, ...step } = next.value
              yield { ...step, ...(preview && { preview: received(preview) }) }
            }
          } finally {
            await run.return(undefined as never)
          }
        },
        close: () => resultOf(call<never, void>({ type: 'close', model })),
      }
    },
    task: (name, input, how) => call({ type: 'task', name, input }, how),
    end() {
      worker.terminate()
      endAll(new WorkerError('WorkerError', 'the worker was ended: connect to another'))
    },
  }
}

const arrayOf = ({ data, shape, dtype }: ArrayMessage) => new NdArray(data, shape, dtype) as NdArray<'f32'>

function received(result: ResultMessage): WorkerResult {
  if (result.type === 'pictures') return { ...result, pictures: arrayOf(result.pictures) }
  if (result.type === 'frames') return { ...result, frames: arrayOf(result.frames) }
  if (result.type === 'latents') return { ...result, latents: arrayOf(result.latents) }
  return result
}
