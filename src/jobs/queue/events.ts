import { QueueError } from '../errors.ts'
import type { Job, JobProgress } from '../job.ts'

/** What happens to a job. */
export type JobEvent =
  | { readonly type: 'progress'; readonly id: string; readonly progress: JobProgress }
  | { readonly type: 'queued' | 'running' | 'completed' | 'failed' | 'cancelled' | 'changed'; readonly id: string }

/** Who listens to which job. */
export class Listeners {
  readonly #listeners = new Map<string, Set<(event: JobEvent) => void>>()

  /** @param id of a job, or `*` for all; @returns what ends it */
  add(id: string, listener: (event: JobEvent) => void): () => void {
    const own = this.#listeners.get(id) ?? new Set()
    own.add(listener)
    this.#listeners.set(id, own)
    return () => {
      own.delete(listener)
      if (own.size === 0 && this.#listeners.get(id) === own) this.#listeners.delete(id)
    }
  }

  tell(event: JobEvent): void {
    for (const key of [event.id, '*']) for (const listener of this.#listeners.get(key) ?? []) listener(event)
  }
}

/** Milliseconds after which a job that is waited for is looked at, whatever the events said. */
const LOOK = 2000

export interface Waiting {
  readonly signal?: AbortSignal
  /** Told of what happens until then. */
  readonly onEvent?: (event: JobEvent) => void
}

interface Queue {
  get(id: string): Promise<Job | undefined>
  subscribe(id: string, listener: (event: JobEvent) => void): () => void
}

/** Waits for a job's end, by its events, and by a look now and then: events are lost with the database's connection, the job is not. */
export function untilEnded(queue: Queue, id: string, { signal, onEvent }: Waiting): Promise<Job> {
  return new Promise((resolve, reject) => {
    let looking = false
    let again = false
    const end = (settle: () => void) => {
      clearInterval(timer)
      unsubscribe()
      signal?.removeEventListener('abort', aborted)
      settle()
    }
    const look = async () => {
      again = looking
      if (looking) return
      looking = true
      do {
        again = false
        try {
          const job = await queue.get(id)
          if (!job) end(() => reject(new QueueError(`job ${id} was removed`)))
          else if (job.state !== 'queued' && job.state !== 'running') end(() => resolve(job))
        } catch {
          // The database is away: the next look may find it.
        }
      } while (again)
      looking = false
    }
    const aborted = () => end(() => reject(signal?.reason))
    const unsubscribe = queue.subscribe(id, (event) => {
      onEvent?.(event)
      if (event.type === 'completed' || event.type === 'failed' || event.type === 'cancelled') void look()
    })
    const timer = setInterval(look, LOOK + Math.random() * 500)
    if (signal?.aborted) return aborted()
    signal?.addEventListener('abort', aborted)
    void look()
  })
}
