import { randomUUID } from 'node:crypto'
import type { Job as BullJob, JobType, QueueOptions } from 'bullmq'
import { Queue, QueueEvents, QueueEventsProducer } from 'bullmq'
import { IdempotencyError, QueueError, QueueFullError } from '../errors.ts'
import { type Job, type JobProgress, type JobSpec, type JobState, jobStates } from '../job.ts'
import { type Backend, heard } from './connect.ts'
import { type JobEvent, Listeners, untilEnded, type Waiting } from './events.ts'
import { jobOf, type Kept, rankOf, TOMBSTONE } from './kept.ts'

/** The name of the queue in the database. */
export const QUEUE = 'langevin'

export interface QueueSettings {
  /** Most jobs that may wait. */
  readonly limit: number
  readonly onError?: (error: Error) => void
}

const waitingTypes: JobType[] = ['prioritized', 'waiting']
const typesOf: Readonly<Record<JobState, JobType[]>> = {
  queued: waitingTypes,
  running: ['active'],
  completed: ['completed'],
  failed: ['failed'],
  cancelled: ['delayed'],
}

/** Milliseconds between two counts of what waits. */
const RECOUNT = 5000
/** Jobs of one state that are looked through for those of one user. */
const SCAN = 2000

/** The jobs of a queue, for whoever adds them and waits for them. */
export class JobQueue {
  readonly #backend: Backend
  readonly #settings: QueueSettings
  readonly #queue: Queue
  readonly #events: QueueEvents
  readonly #producer: QueueEventsProducer
  readonly #listeners = new Listeners()
  #waiting = 0
  /** Seconds that the last jobs took, smoothed: what a full queue's Retry-After is told from. */
  #pace = 2
  #closed = false
  #counting: Promise<unknown> | undefined

  private constructor(backend: Backend, settings: QueueSettings) {
    const onError = settings.onError ?? (() => {})
    const options = { connection: backend.connection, ...(backend.prefix && { prefix: backend.prefix }) } as QueueOptions
    const given = [QUEUE, options, backend.factory] as unknown as [string, QueueOptions]
    this.#backend = backend
    this.#settings = settings
    this.#queue = heard(new Queue(...given), onError)
    this.#events = heard(new QueueEvents(...given), onError)
    this.#producer = heard(new QueueEventsProducer(...given), onError)
  }

  static async open(backend: Backend, settings: QueueSettings): Promise<JobQueue> {
    const queue = new JobQueue(backend, settings)
    await queue.#queue.waitUntilReady()
    await queue.#events.waitUntilReady()
    queue.#listen()
    await queue.counts()
    return queue
  }

  /** How many jobs wait, as far as this process knows: without a look into the database. */
  get waiting(): number {
    return this.#waiting
  }

  /** @throws QueueFullError where no job more may wait; what waits is counted anew then, for who asks again */
  room(): void {
    if (this.#waiting < this.#settings.limit) return
    this.#recount()
    throw new QueueFullError(this.#waiting, Math.max(1, Math.min(60, Math.ceil(this.#pace))))
  }

  /**
   * Adds a job. With a key, the job of an earlier request with it is given instead.
   *
   * @param id under which it is added; a new one unless given
   * @throws QueueFullError, IdempotencyError where the key came with another request
   */
  async add(
    spec: JobSpec,
    { id = randomUUID(), priority = 0 }: { readonly id?: string; readonly priority?: number } = {},
  ): Promise<Job> {
    if (spec.digest !== undefined) {
      const earlier = await this.get(id)
      if (earlier) return same(earlier, spec)
    }
    this.room()
    this.#waiting++
    try {
      await this.#queue.add(spec.task, { spec } satisfies Kept, { jobId: id, priority: rankOf(priority), attempts: 2 })
    } catch (error) {
      this.#waiting--
      throw error
    }
    const job = await this.get(id)
    if (!job) throw new QueueError(`job ${id} is gone as soon as it was added`)
    return spec.digest === undefined ? job : same(job, spec)
  }

  async get(id: string): Promise<Job | undefined> {
    // The state first: what a job has by then, its error among it, the job that is read after it has too.
    const state = await this.#queue.getJobState(id)
    const job: BullJob<Kept> | undefined = await this.#queue.getJob(id)
    return job && jobOf(job, state)
  }

  /** The newest first, or as they will run where only those that wait are asked for. */
  async list({
    states = jobStates,
    owner,
    limit = 50,
    offset = 0,
  }: {
    readonly states?: readonly JobState[]
    readonly owner?: string | undefined
    readonly limit?: number
    readonly offset?: number
  } = {}): Promise<Job[]> {
    const inOrder = states.length === 1 && states[0] === 'queued'
    const found = await Promise.all(
      states.map(async (state) => {
        const jobs: BullJob<Kept>[] = await this.#queue.getJobs(
          typesOf[state],
          0,
          owner === undefined ? offset + limit : SCAN,
          inOrder,
        )
        return jobs.filter((job) => job && (owner === undefined || job.data.spec.owner === owner)).map((job) => jobOf(job, state))
      }),
    )
    const all = found.flat()
    if (!inOrder) all.sort((a, b) => b.created - a.created)
    return all.slice(offset, offset + limit)
  }

  async counts(): Promise<Record<JobState, number>> {
    const counts = await this.#queue.getJobCounts(...jobStates.flatMap((state) => typesOf[state]))
    const sum = (state: JobState) => typesOf[state].reduce((all, type) => all + (counts[type] ?? 0), 0)
    this.#waiting = sum('queued')
    return Object.fromEntries(jobStates.map((state) => [state, sum(state)])) as Record<JobState, number>
  }

  /**
   * Ends a job: one that waits never starts, one that runs stops within a step.
   *
   * @returns whether there was anything to end
   */
  async cancel(id: string): Promise<boolean> {
    for (let attempt = 0; attempt < 3; attempt++) {
      const job: BullJob<Kept> | undefined = await this.#queue.getJob(id)
      if (!job) return false
      const state = await job.getState()
      if (state === 'completed' || state === 'failed' || state === 'delayed') return false
      if (state === 'active') {
        await job.updateData({ ...job.data, cancelled: true })
        await this.#producer.publishEvent({ eventName: 'cancel', jobId: id })
        return true
      }
      try {
        await this.#queue.remove(id)
      } catch {
        continue // A worker took it between the look and now.
      }
      this.#left()
      // What was cancelled stays to be seen, as a job whose time never comes.
      await this.#queue.add(job.name, { ...job.data, cancelled: true, created: job.timestamp }, { jobId: id, delay: TOMBSTONE })
      await this.#producer.publishEvent({ eventName: 'ended', jobId: id })
      return true
    }
    return false
  }

  /** Runs a job again that failed or was cancelled. @throws QueueError where it did neither */
  async retry(id: string): Promise<Job> {
    const job: BullJob<Kept> | undefined = await this.#queue.getJob(id)
    if (!job) throw new QueueError(`no job ${id}`)
    const state = jobOf(job, await job.getState()).state
    if (state !== 'failed' && state !== 'cancelled')
      throw new QueueError(`job ${id} is ${state}; only what failed or was cancelled runs again`)
    this.room()
    const { deadline: _, ...spec } = job.data.spec
    await this.#queue.remove(id)
    return this.add(spec, { id })
  }

  /** Moves a job that waits: by its priority, or before and behind the others of its priority. @throws QueueError */
  async move(
    id: string,
    { priority, position }: { readonly priority?: number | undefined; readonly position?: 'first' | 'last' | undefined },
  ): Promise<void> {
    const job: BullJob<Kept> | undefined = await this.#queue.getJob(id)
    if (!job) throw new QueueError(`no job ${id}`)
    const rank = priority !== undefined ? rankOf(priority) : position === 'first' ? rankOf(100) : job.priority
    await job.changePriority({ priority: rank, lifo: position === 'first' })
    this.#listeners.tell({ type: 'changed', id })
  }

  /** Forgets a job that has ended. @throws QueueError where it has not */
  async remove(id: string): Promise<void> {
    const job = await this.get(id)
    if (!job) throw new QueueError(`no job ${id}`)
    if (job.state === 'running' || job.state === 'queued') throw new QueueError(`job ${id} is ${job.state}; cancel it first`)
    await this.#queue.remove(id)
  }

  pause = (): Promise<void> => this.#queue.pause()
  resume = (): Promise<void> => this.#queue.resume()
  isPaused = (): Promise<boolean> => this.#queue.isPaused()

  /** Calls back at every event of a job, or of all with `*`; gives what ends it. */
  subscribe = (id: string, listener: (event: JobEvent) => void): (() => void) => this.#listeners.add(id, listener)

  /** Waits for a job's end. @throws QueueError where it is removed; the signal's reason */
  wait = (id: string, waiting: Waiting = {}): Promise<Job> => untilEnded(this, id, waiting)

  async close(): Promise<void> {
    this.#closed = true
    await Promise.allSettled([this.#events.close(), this.#producer.close(), this.#queue.close()])
    await this.#backend.close()
  }

  ping = (): Promise<void> => this.#backend.ping()

  #listen(): void {
    const on = (name: string, listener: (event: { jobId: string; data?: unknown; prev?: string }) => void) =>
      this.#events.on(name as 'completed', listener as never)
    const started = new Map<string, number>()
    const ended = (id: string) => {
      const began = started.get(id)
      started.delete(id)
      if (began !== undefined) this.#pace += 0.2 * ((Date.now() - began) / 1000 - this.#pace)
    }
    on('waiting', ({ jobId }) => this.#listeners.tell({ type: 'queued', id: jobId }))
    on('active', ({ jobId }) => {
      this.#left()
      started.set(jobId, Date.now())
      this.#listeners.tell({ type: 'running', id: jobId })
    })
    on('progress', ({ jobId, data }) => this.#listeners.tell({ type: 'progress', id: jobId, progress: data as JobProgress }))
    on('completed', ({ jobId }) => {
      ended(jobId)
      this.#listeners.tell({ type: 'completed', id: jobId })
    })
    on('failed', ({ jobId }) => {
      ended(jobId)
      this.#listeners.tell({ type: 'failed', id: jobId })
    })
    on('ended', ({ jobId }) => this.#listeners.tell({ type: 'cancelled', id: jobId }))
    // Other servers add and end jobs too: the count is set right again, one look after the other.
    const again = () => {
      if (!this.#closed) this.#recount().then(() => setTimeout(again, RECOUNT).unref())
    }
    again()
  }

  /** One job fewer waits. */
  #left(): void {
    this.#waiting = Math.max(0, this.#waiting - 1)
  }

  /** Counts what waits, unless that is being done; a database that is away is counted later. */
  #recount(): Promise<unknown> {
    this.#counting ??= this.counts()
      .catch(() => undefined)
      .finally(() => {
        this.#counting = undefined
      })
    return this.#counting
  }
}

function same(earlier: Job, spec: JobSpec): Job {
  if (earlier.spec.digest === spec.digest) return earlier
  throw new IdempotencyError('this idempotency key came before with another request; use a key once for each request')
}
