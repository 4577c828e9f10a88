import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import type { Logger } from 'pino'
import type { Service } from '../jobs/service.ts'
import type { Decoder } from './decoder/decoder.ts'
import type { Links } from './links.ts'
import type { Metrics } from './metrics.ts'
import type { Moderate } from './moderation.ts'
import type { Pace, User } from './users.ts'

export interface Limits {
  /** Most bytes of a picture. */
  readonly picture: number
  /** Most bytes of a request that has no pictures in it. */
  readonly json: number
  /** Most bytes of one that has. */
  readonly upload: number
  /** Most pixels of a picture that is made. */
  readonly pixels: number
  /** Milliseconds that a request may take from its start to its picture. */
  readonly deadline: number
}

/** What every route works with. */
export interface Api {
  readonly service: Service
  readonly decoder: Decoder
  readonly links: Links
  readonly metrics: Metrics
  readonly log: Logger
  readonly limits: Limits
  readonly pace: Pace
  readonly moderate: Moderate
  /** The model of requests that name none, and other names of models. */
  readonly defaultModel: string
  readonly aliases: ReadonlyMap<string, string>
  /** Whether the server takes no new work. */
  draining(): boolean
  /** Aborted when nobody is to wait any longer. */
  readonly stopping: AbortSignal
}

export interface Env {
  Bindings: HttpBindings
  Variables: { user: User; requestId: string }
}

export type Ctx = Context<Env>
