import { HTTPException } from 'hono/http-exception'
import { ZodError } from 'zod'
import { ArgumentError, LangevinError } from '../core/errors.ts'
import { ImageError } from '../images/errors.ts'
import { IdempotencyError, JobError, type JobFault, QueueError, QueueFullError } from '../jobs/errors.ts'

/** An answer that is an error: every interface says it in its own shape. */
export class ApiError extends LangevinError {
  readonly status: number
  /** In OpenAI's words: `invalid_request_error`, `server_error`, … */
  readonly type: string
  readonly code: string | null
  /** The field at fault. */
  readonly param: string | null
  /** Seconds after which to try again. */
  readonly retryAfter: number | undefined

  constructor(
    status: number,
    message: string,
    {
      code = null,
      param = null,
      retryAfter,
      ...options
    }: ErrorOptions & { readonly code?: string | null; readonly param?: string | null; readonly retryAfter?: number } = {},
  ) {
    super(message, options)
    this.status = status
    this.code = code
    this.param = param
    this.retryAfter = retryAfter
    this.type = typeOf(status)
  }

  /** Whether OpenAI's SDK, which tries again by the status, is to: where it would meet the same. */
  get shouldRetry(): boolean {
    return this.retryAfter !== undefined
  }
}

function typeOf(status: number): string {
  if (status === 401) return 'authentication_error'
  if (status === 403) return 'permission_error'
  if (status === 429) return 'rate_limit_error'
  return status < 500 ? 'invalid_request_error' : 'server_error'
}

/** A request that is wrong, with the field that is. */
export const badRequest = (param: string | null, message: string, code: string | null = 'invalid_value'): ApiError =>
  new ApiError(400, message, { param, code })

const statusOf: Readonly<Record<JobFault, number>> = {
  invalid_options: 400,
  model_not_found: 404,
  model_failed: 500,
  out_of_memory: 500,
  not_finite: 500,
  worker_killed: 500,
  deadline: 504,
  cancelled: 409,
  moderation: 400,
  storage: 507,
  internal: 500,
}

/** The one mapping from errors to answers. */
export function apiErrorOf(error: unknown): ApiError {
  if (error instanceof ApiError) return error
  const because = { cause: error }
  if (error instanceof JobError) {
    const code =
      error.fault === 'moderation' ? 'moderation_blocked' : error.fault === 'invalid_options' ? 'invalid_value' : error.fault
    return new ApiError(statusOf[error.fault], error.message, { ...because, code, param: error.param ?? null })
  }
  if (error instanceof QueueFullError)
    return new ApiError(429, error.message, { ...because, code: 'queue_full', retryAfter: error.retryAfter })
  if (error instanceof IdempotencyError) return new ApiError(409, error.message, { ...because, code: 'idempotency_key_reused' })
  if (error instanceof QueueError)
    return new ApiError(/^no job/.test(error.message) ? 404 : 409, error.message, { ...because, code: 'job_state' })
  if (error instanceof ImageError) return new ApiError(400, error.message, { ...because, code: 'invalid_image' })
  if (error instanceof ZodError) return fromZod(error)
  if (error instanceof ArgumentError) return new ApiError(400, error.message, because)
  if (error instanceof HTTPException) return new ApiError(error.status, error.message || 'refused', because)
  if (isConnection(error))
    return new ApiError(503, 'the queue cannot be reached at the moment', { ...because, code: 'queue_away', retryAfter: 1 })
  return new ApiError(500, error instanceof LangevinError ? error.message : 'something went wrong here; the log says what', {
    ...because,
    code: 'internal',
  })
}

/** The first fault of a request, by the field's place. */
function fromZod(error: ZodError): ApiError {
  const [issue] = error.issues
  const param = issue?.path.join('.') || null
  return new ApiError(400, `${param ?? 'request'}: ${issue?.message}`, { code: 'invalid_value', param, cause: error })
}

/** Whether an error is the database's absence, by PostgreSQL's and the system's codes. */
function isConnection(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown }
  return (
    /^(ECONN|EPIPE|ETIMEDOUT|57P|08)/.test(String(code)) ||
    /Connection terminated|connect ECONN|timeout exceeded when trying to connect|Stream isn't writeable/i.test(String(message))
  )
}
