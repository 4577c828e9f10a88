import { cpus, homedir, totalmem } from 'node:os'
import { join } from 'node:path'
import { addressIn, type EmbeddedDatabase, embeddedDatabase } from './database/embedded.ts'
import { Catalogue } from './models/catalogue.ts'
import { type Backend, connect } from './queue/connect.ts'
import { JobQueue } from './queue/queue.ts'
import { openStore } from './store/open.ts'
import type { Store } from './store/store.ts'
import { JobWorker, type WorkerEvent } from './worker.ts'

export interface ServiceSettings {
  /** Where the embedded queue and the files are. */
  readonly data: string
  /** `postgres://…` or `redis://…`; embedded in the data folder unless given. */
  readonly queue?: string | undefined
  /** A folder or `s3://…`; `files` in the data folder unless given. */
  readonly store?: string | undefined
  readonly models?: readonly string[]
  /** Jobs at once on this host; 0 leaves the work to workers elsewhere. */
  readonly processes?: number
  /** Bytes that a process may take before it lets models go; half of the machine's memory, shared, unless given. */
  readonly memory?: number | undefined
  readonly threads?: number | undefined
  readonly device?: string | undefined
  /** Most jobs that may wait. */
  readonly limit?: number
  /** Milliseconds that results are kept. */
  readonly keep?: number | undefined
  readonly lock?: number | undefined
  /** What the queue calls the worker. */
  readonly name?: string
  readonly onError?: (error: Error) => void
  readonly onJob?: (told: WorkerEvent) => void
}

/** The queue, the files and the models of a host, and what works on them here. */
export interface Service {
  readonly queue: JobQueue
  readonly store: Store
  readonly catalogue: Catalogue
  readonly worker: JobWorker | undefined
  readonly database: EmbeddedDatabase | undefined
  /**
   * Takes no more jobs here.
   *
   * @param deadline milliseconds for those that run; then they go back into the queue
   */
  drain(deadline: number): Promise<void>
  close(): Promise<void>
}

/** Where a user's data stand unless said otherwise. */
export function dataFolder(): string {
  const { LANGEVIN_DATA: own, XDG_DATA_HOME: chosen, LOCALAPPDATA: local } = process.env
  if (own) return own
  if (chosen) return join(chosen, 'langevin')
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Application Support', 'langevin')
  if (process.platform === 'win32') return join(local ?? join(homedir(), 'AppData', 'Local'), 'langevin')
  return join(homedir(), '.local', 'share', 'langevin')
}

/** Opens the queue and the store of a host that serves, and starts its workers. */
export async function openService(settings: ServiceSettings): Promise<Service> {
  const { onError = () => {} } = settings
  const database = settings.queue === undefined ? await embedded(settings.data, onError) : undefined
  const url = settings.queue ?? (database as EmbeddedDatabase).url
  try {
    const backend = await connect(url, onError)
    const queue = await JobQueue.open(backend, { limit: settings.limit ?? 100, onError })
    const address = settings.store ?? join(settings.data, 'files')
    const store = await openStore(address)
    await store.check()
    const catalogue = new Catalogue(settings.models ?? [])
    const { processes = 1 } = settings
    // A worker has connections of its own, which it closes itself.
    const own = processes > 0 ? await connect(url, onError) : undefined
    const worker = own && workerOf(own, { ...settings, store: address, catalogue })
    await worker?.start()
    const drain = async (deadline: number) => {
      await worker?.close(deadline)
      await own?.close()
    }
    return {
      ...{ queue, store, catalogue, worker, database, drain },
      async close() {
        await drain(0)
        await queue.close()
        await database?.close()
      },
    }
  } catch (error) {
    await database?.close()
    throw error
  }
}

const embedded = (data: string, onError: (error: Error) => void) =>
  embeddedDatabase(data, {
    onRestart: (ended) => onError(new Error(`the embedded database ended (${ended}); another takes its place`)),
  })

/** Workers alone, for a queue that a server elsewhere keeps, or one of the same data folder on this host. */
export async function openWorker(
  settings: ServiceSettings,
): Promise<{ readonly worker: JobWorker; close(deadline?: number): Promise<void> }> {
  const { onError = () => {} } = settings
  const backend: Backend = await connect(settings.queue ?? addressIn(settings.data), onError)
  const store = settings.store ?? join(settings.data, 'files')
  const worker = workerOf(backend, { ...settings, store, catalogue: new Catalogue(settings.models ?? []) })
  await worker.start()
  return {
    worker,
    async close(deadline = 0) {
      await worker.close(deadline)
      await backend.close()
    },
  }
}

function workerOf(
  backend: Backend,
  settings: ServiceSettings & { readonly store: string; readonly catalogue: Catalogue },
): JobWorker {
  const { processes = 1, lock, keep, name, onError, onJob, device, store, catalogue } = settings
  const memory = settings.memory ?? totalmem() / 2 / processes
  const threads = settings.threads ?? (processes > 1 ? Math.max(1, Math.floor(cpus().length / processes)) : undefined)
  return new JobWorker(backend, {
    ...{ store, catalogue, memory, processes, device },
    ...(threads !== undefined && { threads }),
    ...(lock !== undefined && { lock }),
    ...(keep !== undefined && { keep }),
    ...(name !== undefined && { name }),
    ...(onError && { onError }),
    ...(onJob && { onJob }),
  })
}
