import { LangevinError } from '../core/errors.ts'

/** What went wrong with a job, for programs. */
export type JobFault =
  /** The options contradict the model or each other. */
  | 'invalid_options'
  /** No such model here, or it cannot be opened. */
  | 'model_not_found'
  | 'model_failed'
  | 'out_of_memory'
  /** The network gave numbers that are none. */
  | 'not_finite'
  /** The process that ran the model ended. */
  | 'worker_killed'
  | 'deadline'
  | 'cancelled'
  /** The content filter refused. */
  | 'moderation'
  | 'storage'
  | 'internal'

/** A job that ended without a result. */
export class JobError extends LangevinError {
  readonly fault: JobFault
  /** The option that is at fault, where one is. */
  readonly param: string | undefined

  constructor(
    fault: JobFault,
    message: string,
    { param, ...options }: ErrorOptions & { readonly param?: string | undefined } = {},
  ) {
    super(message, options)
    this.fault = fault
    this.param = param
  }
}

/** More jobs wait than may. */
export class QueueFullError extends LangevinError {
  /** Seconds after which to try again. */
  readonly retryAfter: number

  constructor(waiting: number, retryAfter: number) {
    super(`${waiting} jobs wait, as many as may; try again in ${retryAfter} s`)
    this.retryAfter = retryAfter
  }
}

/** A job, file or setting of the queue that is not there, or not in a state for what was asked. */
export class QueueError extends LangevinError {}

/** A key that came before with another request. */
export class IdempotencyError extends LangevinError {}

/** How an error travels from a worker to whoever waits: BullMQ keeps a job's failure as text. */
export const faultText = (error: JobError): string =>
  JSON.stringify({ fault: error.fault, message: error.message, ...(error.param !== undefined && { param: error.param }) })

/** What `faultText` wrote; a text of BullMQ's own is a worker that ended. */
export function faultOf(text: string | undefined): JobError | undefined {
  if (!text) return undefined
  try {
    const { fault, message, param } = JSON.parse(text) as { fault: JobFault; message: string; param?: string }
    return new JobError(fault, message, { param })
  } catch {
    const stalled = /stalled|started more than/.test(text)
    return new JobError(stalled ? 'worker_killed' : 'internal', stalled ? 'its workers ended before it did' : text)
  }
}
