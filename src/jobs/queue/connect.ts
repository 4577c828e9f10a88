import type { BackendFactory, IQueueBackend } from 'bullmq'
import { ArgumentError } from '../../core/errors.ts'
import { SEARCH_PATH } from '../database/open.ts'

/** Where BullMQ keeps its jobs: what `Queue`, `Worker` and `QueueEvents` are made with. */
export interface Backend {
  readonly connection: unknown
  readonly factory: BackendFactory<IQueueBackend, unknown> | undefined
  readonly prefix: string | undefined
  readonly name: 'postgres' | 'redis'
  /** Whether it answers. @throws what is in the way */
  ping(): Promise<void>
  close(): Promise<void>
}

/**
 * The queue's database by its address: `postgres://…`, as the embedded one has too, or `redis://…` (Valkey).
 *
 * @throws ArgumentError for another address
 */
export async function connect(url: string, onError: (error: Error) => void = () => {}): Promise<Backend> {
  const protocol = /^([a-z]+):\/\//.exec(url)?.[1]
  if (protocol === 'postgres' || protocol === 'postgresql') return postgres(url, onError)
  if (protocol === 'redis' || protocol === 'rediss' || protocol === 'valkey') return redis(url, onError)
  throw new ArgumentError(`queue: expected postgres://… or redis://…, got ${withoutPassword(url)}`)
}

/** An address as it may be shown. */
export const withoutPassword = (url: string): string => url.replace(/(:\/\/[^:@/]*):[^@/]*@/, '$1:…@')

async function postgres(url: string, onError: (error: Error) => void): Promise<Backend> {
  const [{ default: pg }, { createPostgresBackend, runMigrations }] = await Promise.all([import('pg'), import('bullmq')])
  // A listening connection is taken out of the pool by the worker and by whoever reads events.
  const pool = new pg.Pool({
    connectionString: url,
    max: 10,
    keepAlive: true,
    connectionTimeoutMillis: 10_000,
    options: `-c search_path=${SEARCH_PATH}`,
  })
  pool.on('error', onError)
  const client = await pool.connect()
  try {
    await runMigrations(client)
  } finally {
    client.release()
  }
  let closed = false
  return {
    connection: pool,
    factory: createPostgresBackend as unknown as Backend['factory'],
    prefix: undefined,
    name: 'postgres',
    async ping() {
      await pool.query('SELECT 1')
    },
    async close() {
      if (closed) return
      closed = true
      await pool.end()
    },
  }
}

async function redis(url: string, onError: (error: Error) => void): Promise<Backend> {
  const { Redis } = await import('ioredis')
  const address = url.replace(/^valkey:/, 'redis:')
  const client = new Redis(address, { maxRetriesPerRequest: null, enableOfflineQueue: false, lazyConnect: true })
  client.on('error', onError)
  await client.connect()
  return {
    // BullMQ makes its own connections of it, one that blocks for each worker.
    connection: { url: address, maxRetriesPerRequest: null },
    factory: undefined,
    prefix: 'langevin',
    name: 'redis',
    async ping() {
      await client.ping()
    },
    async close() {
      client.disconnect()
    },
  }
}

/** BullMQ's objects emit errors, which end a process where nobody listens. */
export function heard<T extends { on(name: 'error', listener: (error: Error) => void): unknown }>(
  emitter: T,
  onError: (error: Error) => void,
): T {
  emitter.on('error', onError)
  return emitter
}
