import { mkdirSync } from 'node:fs'
import type { Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { type Logger, pino } from 'pino'
import { ArgumentError } from '../core/errors.ts'
import { openService, type Service, type ServiceSettings } from '../jobs/service.ts'
import { sweep } from '../jobs/sweep.ts'
import type { WorkerEvent } from '../jobs/worker.ts'
import { createApp } from './app.ts'
import { Decoder } from './decoder/decoder.ts'
import type { Limits } from './env.ts'
import { linksOf, secretIn } from './links.ts'
import { Metrics } from './metrics.ts'
import { type Moderate, noModeration } from './moderation.ts'
import { type Admission, isLoopback } from './security.ts'
import { Pace, Users } from './users.ts'

export interface ServerSettings extends Omit<ServiceSettings, 'onError'> {
  readonly host?: string
  /** 0 for any that is free. */
  readonly port?: number
  readonly users?: Users
  readonly hosts?: readonly string[]
  readonly origins?: readonly string[]
  /** Of requests that name none; the first of the models that make pictures of a prompt unless given. */
  readonly model?: string | undefined
  readonly aliases?: ReadonlyMap<string, string>
  readonly moderate?: Moderate
  readonly limits?: Partial<Limits>
  readonly log?: Logger
  /** Most bytes of files that are kept; the oldest jobs that have ended go first. */
  readonly keepBytes?: number | undefined
}

export interface LangevinServer {
  readonly url: string
  readonly port: number
  readonly service: Service
  /** Takes no more work; what runs has so many milliseconds, what still runs then goes back into the queue. */
  close(deadline?: number): Promise<void>
}

const MiB = 2 ** 20

const defaults: Limits = { picture: 50 * MiB, json: MiB, upload: 160 * MiB, pixels: 4096 * 4096, deadline: 3600 * 1000 }

/** Connections at once; more are refused before they are read. */
const CONNECTIONS = 2000

/** @throws ArgumentError where a server would answer the network without a key */
export async function startServer(settings: ServerSettings): Promise<LangevinServer> {
  const {
    host = '127.0.0.1',
    port = 7860,
    users = new Users([]),
    hosts = [],
    origins = [],
    log = pino({ level: 'silent' }),
  } = settings
  if (!isLoopback(host) && !users.needed)
    throw new ArgumentError(`${host} is open to the network: give a --key, or serve on 127.0.0.1`)
  const limits = { ...defaults, ...settings.limits }
  mkdirSync(settings.data, { recursive: true })
  const metrics = new Metrics()
  const onJob = (told: WorkerEvent) => {
    metrics.job(told)
    if (told.type !== 'progress') log.info({ job: told.id, ...told }, `job ${told.type}`)
    settings.onJob?.(told)
  }
  const service = await openService({ ...settings, onJob, onError: (error) => log.warn({ err: error }, error.message) })
  try {
    metrics.watch(service)
    const decoder = new Decoder({ maxBytes: limits.picture })
    decoder.start()
    let draining = false
    const stopping = new AbortController()
    const admission: Admission = { users, hosts, origins }
    const app = createApp(
      {
        ...{ service, decoder, metrics, log, limits },
        links: linksOf(secretIn(settings.data)),
        pace: new Pace(),
        moderate: settings.moderate ?? noModeration,
        defaultModel: settings.model ?? (await firstModel(service)),
        aliases: settings.aliases ?? new Map(),
        draining: () => draining,
        stopping: stopping.signal,
      },
      admission,
    )
    const sweeping = new Sweeping(service, { keep: settings.keep ?? WEEK, bytes: settings.keepBytes ?? Infinity }, log)
    const http = await listening(app.fetch, host, port)
    const { port: own } = http.address() as AddressInfo
    return {
      ...{ service, port: own },
      url: `http://${host.includes(':') ? `[${host}]` : host}:${own}`,
      async close(deadline = 0) {
        draining = true
        sweeping.stop()
        // Those that wait for a picture get it, while no job more begins.
        await service.drain(deadline)
        const closed = new Promise((end) => http.close(end))
        // Answers that are under way end first; then those that wait for jobs of later are told so.
        await new Promise((later) => setTimeout(later, 100))
        stopping.abort()
        const force = setTimeout(() => http.closeAllConnections(), 500)
        http.closeIdleConnections()
        await closed
        clearTimeout(force)
        decoder.close()
        await service.close()
      },
    }
  } catch (error) {
    await service.close()
    throw error
  }
}

function listening(fetch: Parameters<typeof serve>[0]['fetch'], hostname: string, port: number): Promise<HttpServer> {
  return new Promise((resolve, reject) => {
    const server = serve({
      fetch,
      hostname,
      port,
      serverOptions: { headersTimeout: 20_000, requestTimeout: 300_000 },
    }) as HttpServer
    server.maxConnections = CONNECTIONS
    server.once('error', reject)
    server.once('listening', () => {
      server.off('error', reject)
      resolve(server)
    })
  })
}

/** The model of requests that name none: what `npm start` draws with, where it is listed. */
const PREFERRED = 'stickers-t2i'

async function firstModel({ catalogue }: Service): Promise<string> {
  const all = await catalogue.list()
  if (all.some(({ id }) => id === PREFERRED)) return PREFERRED
  const found = all.find(({ output, page }) => output === 'pictures' && 'prompt' in page.options.shape) ?? all[0]
  if (!found) throw new ArgumentError('no model to serve: name a folder of them with --models')
  return found.id
}

const WEEK = 7 * 24 * 3600 * 1000
const SWEEP = 10 * 60 * 1000

/** Removes what is kept no longer, now and then, one sweep after another. */
class Sweeping {
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor({ queue, store }: Service, settings: { readonly keep: number; readonly bytes: number }, log: Logger) {
    const run = async () => {
      try {
        const removed = await sweep(queue, store, settings)
        if (removed.jobs > 0 || removed.bytes > 0) log.info(removed, 'removed what is kept no longer')
      } catch (error) {
        log.warn({ err: error }, 'nothing was removed')
      }
      if (!this.#stopped) this.#timer = setTimeout(run, SWEEP).unref()
    }
    this.#timer = setTimeout(run, SWEEP / 10).unref()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }
}
