import { hostname } from 'node:os'
import { type Job as BullJob, QueueEvents, UnrecoverableError, WaitingError, Worker, type WorkerOptions } from 'bullmq'
import { faultText, JobError, type JobFault } from './errors.ts'
import type { JobProgress, JobResult } from './job.ts'
import type { Catalogue } from './models/catalogue.ts'
import type { ModelSettings } from './models/messages.ts'
import { ModelProcess } from './models/model-process.ts'
import { type Backend, heard } from './queue/connect.ts'
import type { Kept } from './queue/kept.ts'
import { QUEUE } from './queue/queue.ts'

export interface WorkerSettings extends ModelSettings {
  readonly catalogue: Catalogue
  /** Jobs at once, each in a process of its own. */
  readonly processes?: number
  readonly name?: string
  /** Milliseconds after which a worker that gives no sign of life has lost its job; a third of it is the time between looks. */
  readonly lock?: number
  /** Milliseconds that results and failures are kept. */
  readonly keep?: number
  readonly onError?: (error: Error) => void
  readonly onJob?: (told: WorkerEvent) => void
}

/** What a worker did, for logs and the terminal. */
export type WorkerEvent =
  | { readonly type: 'started'; readonly id: string; readonly model: string }
  | { readonly type: 'progress'; readonly id: string; readonly progress: JobProgress }
  | { readonly type: 'completed'; readonly id: string; readonly seconds: number }
  | { readonly type: 'failed'; readonly id: string; readonly fault: JobFault; readonly message: string }
  | { readonly type: 'requeued'; readonly id: string }

/** Milliseconds between two notes of progress without a preview. */
const PACE = 100
const LOCK = 15_000
const KEEP = 7 * 24 * 3600 * 1000

/** Faults that the same job would meet again. */
const final: readonly JobFault[] = [
  'invalid_options',
  'model_not_found',
  'model_failed',
  'out_of_memory',
  'not_finite',
  'deadline',
  'cancelled',
  'moderation',
]

/** Takes jobs from the queue and runs them in child processes. */
export class JobWorker {
  readonly processes: readonly ModelProcess[]
  readonly #settings: WorkerSettings
  readonly #worker: Worker
  readonly #events: QueueEvents
  #closing: Promise<void> | undefined
  readonly #running = new Map<string, AbortController>()

  constructor(backend: Backend, settings: WorkerSettings) {
    const { processes = 1, onError = () => {}, lock = LOCK, keep = KEEP, name = `${hostname()}-${process.pid}` } = settings
    const { store, memory, threads, device } = settings
    this.#settings = settings
    this.processes = Array.from({ length: processes }, () => new ModelProcess({ store, memory, threads, device }))
    const common = { connection: backend.connection, ...(backend.prefix && { prefix: backend.prefix }) }
    const options = {
      ...common,
      name,
      concurrency: processes,
      autorun: false,
      lockDuration: lock,
      stalledInterval: Math.ceil(lock / 3),
      // A host that loses its power thrice with a job is not to lose it a fourth time.
      maxStalledCount: 3,
      removeOnComplete: { age: keep / 1000 },
      removeOnFail: { age: keep / 1000 },
    }
    const run = (job: BullJob<Kept>) => this.#run(job)
    this.#worker = heard(
      new Worker(...([QUEUE, run, options as WorkerOptions, backend.factory] as unknown as ConstructorParameters<typeof Worker>)),
      onError,
    )
    this.#events = heard(
      new QueueEvents(...([QUEUE, common, backend.factory] as unknown as ConstructorParameters<typeof QueueEvents>)),
      onError,
    )
  }

  async start(): Promise<void> {
    await Promise.all([this.#worker.waitUntilReady(), this.#events.waitUntilReady()])
    this.#events.on('cancel' as 'completed', ({ jobId }: { jobId: string }) => {
      this.#running.get(jobId)?.abort(new JobError('cancelled', 'cancelled'))
    })
    this.#worker.run().catch((error: Error) => this.#settings.onError?.(error))
    // So that the first job does not wait for the process.
    for (const one of this.processes) one.start().catch(() => {})
  }

  /** Ids of the jobs that run here. */
  get running(): string[] {
    return [...this.#running.keys()]
  }

  /**
   * Takes no more jobs, and lets those that run end.
   *
   * @param deadline milliseconds after which those that still run go back into the queue
   */
  close(deadline = 0): Promise<void> {
    this.#closing ??= this.#close(deadline)
    return this.#closing
  }

  async #close(deadline: number): Promise<void> {
    const closing = this.#worker.close()
    const timer = setTimeout(() => {
      for (const controller of this.#running.values()) controller.abort(new WaitingError())
    }, deadline)
    await Promise.all([closing, this.#drained()])
    clearTimeout(timer)
    await Promise.all([this.#events.close(), ...this.processes.map((one) => one.close())])
  }

  async #drained(): Promise<void> {
    while (this.#running.size > 0) await new Promise((later) => setTimeout(later, 20))
  }

  async #run(job: BullJob<Kept>): Promise<JobResult> {
    const id = job.id as string
    const { spec, cancelled } = job.data
    const { onJob = () => {} } = this.#settings
    const controller = new AbortController()
    this.#running.set(id, controller)
    const left = spec.deadline === undefined ? undefined : spec.deadline - Date.now()
    const timer =
      left === undefined
        ? undefined
        : setTimeout(() => controller.abort(new JobError('deadline', 'its deadline has passed')), Math.min(left, 2 ** 31 - 1))
    onJob({ type: 'started', id, model: spec.model })
    const began = performance.now()
    try {
      if (cancelled) throw new JobError('cancelled', 'cancelled')
      if (left !== undefined && left <= 0) throw new JobError('deadline', 'its deadline passed while it waited')
      const { path, load } = await this.#model(spec.task, spec.model)
      const result = await this.#free(path).run({
        id,
        spec,
        path,
        load,
        signal: controller.signal,
        onProgress: this.#progress(job),
      })
      onJob({ type: 'completed', id, seconds: (performance.now() - began) / 1000 })
      return result
    } catch (error) {
      if (error instanceof WaitingError) {
        await job.moveToWait(job.token)
        onJob({ type: 'requeued', id })
        throw error
      }
      const fault = error instanceof JobError ? error : new JobError('internal', String(error))
      onJob({ type: 'failed', id, fault: fault.fault, message: fault.message })
      throw final.includes(fault.fault) ? new UnrecoverableError(faultText(fault)) : new Error(faultText(fault))
    } finally {
      clearTimeout(timer)
      this.#running.delete(id)
    }
  }

  async #model(task: string, id: string): Promise<{ readonly path: string; readonly load: Readonly<Record<string, unknown>> }> {
    const { catalogue } = this.#settings
    try {
      const found = task === 'upscale' ? catalogue.upscaler(id) : await catalogue.find(id)
      if (found) return found
    } catch (error) {
      throw new JobError('model_failed', (error as Error).message, { cause: error })
    }
    throw new JobError('model_not_found', `this worker has no model ${id}`, { param: 'model' })
  }

  /** A process that does nothing: one that has the model, else one that has none. */
  #free(path: string): ModelProcess {
    const idle = this.processes.filter(({ busy }) => !busy)
    const found = idle.find(({ models }) => models.includes(path)) ?? idle.find(({ models }) => models.length === 0) ?? idle[0]
    if (!found) throw new JobError('internal', 'every process is busy')
    return found
  }

  /** Notes progress, at most so often: each is a write into the database. */
  #progress(job: BullJob<Kept>): (progress: JobProgress) => void {
    let noted = -Infinity
    let preview: JobProgress['preview']
    return (progress) => {
      if (progress.preview) preview = progress.preview
      this.#settings.onJob?.({ type: 'progress', id: job.id as string, progress })
      const now = performance.now()
      if (!progress.preview && now - noted < PACE) return
      noted = now
      job.updateProgress({ ...progress, ...(preview && { preview }) }).catch((error: Error) => this.#settings.onError?.(error))
    }
  }
}
