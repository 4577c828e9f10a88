import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import { loadPipeline, type Pipeline } from '../../pipelines/load.ts'
import type { Result } from '../../pipelines/page.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { configureEngine, type EngineSettings } from '../../runtime/web/engine.ts'
import { unmount } from '../../runtime/web/files.ts'
import type { ArrayMessage, FromWorker, OpenedMessage, Request, ResultMessage, StepMessage, ToWorker } from '../messages.ts'
import { told } from './errors.ts'
import { measure, mountModel } from './models.ts'

/** A function of the page's own that runs in the worker: may yield progress, returns a result, both such as messages can hold. */
export type Task = (input: never, signal: AbortSignal) => AsyncGenerator<unknown, unknown, void> | Promise<unknown>

export interface ServeOptions extends EngineSettings {
  readonly tasks?: Readonly<Record<string, Task>>
}

/** The worker that this thread is. */
interface WorkerScope {
  addEventListener(type: 'message', listener: (event: { readonly data: ToWorker }) => void): void
  postMessage(message: FromWorker, transfer?: Transferable[]): void
}

/** Answers the page that started this worker, through `connect` of `langevin/web`. One request is worked on at a time. */
export function serve({ tasks = {}, ...settings }: ServeOptions = {}): void {
  const scope = globalThis as unknown as WorkerScope
  configureEngine(settings)
  const models = new Map<number, { readonly pipeline: Pipeline; readonly folder: string }>()
  const stops = new Map<number, AbortController>()
  let last: Promise<void> = Promise.resolve()

  const modelOf = (number: number) => {
    const found = models.get(number)
    if (!found) throw new ArgumentError('this model was closed; open it again')
    return found
  }

  async function* work(request: Request, id: number, signal: AbortSignal): AsyncGenerator<unknown, unknown, void> {
    switch (request.type) {
      case 'measure':
        return measure(request.source)
      case 'open': {
        const { file, keep, ...options } = request.settings
        const folder = `/models/${id}`
        const path = yield* mountModel(request.source, folder, { file, keep, signal })
        const pipeline = await loadPipeline(path, options)
        models.set(id, { pipeline, folder })
        return openedMessage(id, pipeline)
      }
      case 'generate': {
        const { preview } = request
        const run = modelOf(request.model).pipeline.generate({ ...request.options, signal })
        for (;;) {
          const next = await run.next()
          if (next.done) return resultMessage(next.value)
          const { picture, i, stage, done, total } = next.value
          const shown =
            preview === 'sketch' && next.value.sketch
              ? await next.value.sketch()
              : preview === 'none'
                ? undefined
                : await next.value.preview()
          const step: StepMessage = {
            ...{ picture, i, done, total },
            ...(stage !== undefined && { stage }),
            ...(shown && { preview: resultMessage(shown) }),
          }
          yield step
        }
      }
      case 'close': {
        const { pipeline, folder } = modelOf(request.model)
        models.delete(request.model)
        await pipeline.release()
        unmount(folder)
        return undefined
      }
      case 'task': {
        const task = Object.hasOwn(tasks, request.name) ? tasks[request.name] : undefined
        if (!task) {
          const known = Object.keys(tasks).join(', ') || 'none'
          throw new ArgumentError(`this worker has no task "${request.name}"; it was started with ${known}`)
        }
        const made = task(request.input as never, signal)
        return 'next' in made ? yield* made : await made
      }
    }
  }

  async function answer({ id, ...request }: Request & { readonly id: number }, signal: AbortSignal): Promise<void> {
    const say = (message: { type: 'progress' | 'result'; value: unknown }) =>
      scope.postMessage(
        { id, ...message } as FromWorker,
        // Nobody here reads a finished run's arrays again; a preview may share its memory with the run.
        request.type === 'generate' && message.type === 'result' ? [...buffersIn(message.value as ResultMessage)] : [],
      )
    try {
      signal.throwIfAborted()
      const run = work(request as Request, id, signal)
      for (;;) {
        const next = await run.next()
        if (next.done) {
          say({ type: 'result', value: next.value })
          return
        }
        say({ type: 'progress', value: next.value })
        await turn()
        if (signal.aborted) await run.return(undefined)
        signal.throwIfAborted()
      }
    } catch (cause) {
      scope.postMessage({ id, type: 'error', error: told(cause) })
    } finally {
      stops.delete(id)
    }
  }

  scope.addEventListener('message', ({ data }) => {
    if (data.type === 'cancel') {
      stops.get(data.id)?.abort()
      return
    }
    const stop = new AbortController()
    stops.set(data.id, stop)
    last = last.then(() => answer(data, stop.signal))
  })
}

/** Lets messages in, such as one that cancels. */
const turn = (): Promise<void> =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => {
      port1.close()
      resolve()
    }
    port2.postMessage(undefined)
  })

const openedMessage = (model: number, { className, output, schema }: Pipeline): OpenedMessage => ({
  ...{ model, className, output },
  schema: z.toJSONSchema(schema, { unrepresentable: 'any', io: 'input' }) as Readonly<Record<string, unknown>>,
})

const arrayMessage = ({ data, shape, dtype }: NdArray): ArrayMessage => ({ data, shape, dtype })

function resultMessage(result: Result): ResultMessage {
  if (result.type === 'pictures') return { type: 'pictures', pictures: arrayMessage(result.pictures) }
  if (result.type === 'frames') return { ...result, frames: arrayMessage(result.frames) }
  if (result.type === 'latents') return { type: 'latents', latents: arrayMessage(result.latents) }
  return result
}

/** Memory of a result's arrays, which moves to the page. */
const buffersIn = (result: ResultMessage): ArrayBuffer[] =>
  Object.values(result).flatMap((one: Partial<ArrayMessage>) =>
    one.data?.buffer instanceof ArrayBuffer ? [one.data.buffer] : [],
  )
