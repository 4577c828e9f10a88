import { createHash, randomInt } from 'node:crypto'
import { faultOf, faultText, JobError, type JobFault } from '../jobs/errors.ts'
import { type Job, type JobSpec, jobSpec } from '../jobs/job.ts'
import type { DescribedModel } from '../jobs/models/catalogue.ts'
import { checkOptions, optionsSchema } from '../jobs/models/options.ts'
import type { JobEvent } from '../jobs/queue/events.ts'
import type { Output } from '../pipelines/page.ts'
import type { Api, Ctx } from './env.ts'
import { ApiError, badRequest } from './errors.ts'

/** What a request asks for, before it is a job. */
export interface Wanted {
  readonly task?: JobSpec['task']
  readonly model: string
  readonly options: Readonly<Record<string, unknown>>
  readonly output?: Partial<JobSpec['output']>
  readonly previews?: Partial<JobSpec['previews']>
  readonly metadata?: Readonly<Record<string, string>> | undefined
  readonly priority?: number | undefined
  /** Milliseconds that it may take. */
  readonly deadline?: number | undefined
  readonly via: string
}

/** Refuses work that there is no room for, before a body is read. @throws ApiError 503, QueueFullError, ApiError 429 */
export function admit(api: Api, c: Ctx): void {
  if (api.draining()) throw new ApiError(503, 'this server is about to stop', { code: 'draining', retryAfter: 5 })
  api.service.queue.room()
  const wait = api.pace.wait(c.get('user'))
  if (wait > 0)
    throw new ApiError(429, `more than ${c.get('user').perMinute} requests in a minute`, {
      code: 'rate_limit_exceeded',
      retryAfter: wait,
    })
}

/** A model by the name that a request gives, or the default one. @throws ApiError 404, and 400 where it makes something else */
export async function modelOf(api: Api, name: string | null | undefined, output?: Output): Promise<DescribedModel> {
  const id = name ? (api.aliases.get(name) ?? name) : api.defaultModel
  const model = await api.service.catalogue.find(id)
  if (!model)
    throw new ApiError(404, `no model ${JSON.stringify(id)} here; GET /v1/models lists them`, {
      code: 'model_not_found',
      param: 'model',
    })
  if (output !== undefined && model.output !== output)
    throw badRequest('model', `${model.id} makes ${model.output}, not ${output}`, 'model_output')
  return model
}

/** Names of a model's options. */
export const takes = (model: DescribedModel): ReadonlySet<string> => new Set(Object.keys(optionsSchema(model.page).properties))

/** A seed where the request gives none: who does not care wants another picture each time. */
export const seeded = (model: DescribedModel, options: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  takes(model).has('seed') && options.seed === undefined ? { ...options, seed: randomInt(2 ** 32 - 1) } : { ...options }

/** Puts a job into the queue. @throws what refuses it */
export async function submit(api: Api, c: Ctx, wanted: Wanted): Promise<Job> {
  const { queue } = api.service
  const user = c.get('user')
  const { task = 'generate', model, options, priority, deadline = api.limits.deadline } = wanted
  const described = task === 'generate' ? await modelOf(api, model) : undefined
  if (described) checkOptions(described.page, options)
  checkPixels(api, options)
  const prompt = typeof options.prompt === 'string' ? options.prompt : ''
  checkPrompt(prompt, 'prompt')
  if (typeof options.negative === 'string') checkPrompt(options.negative, 'negative')
  await api.moderate({ user: user.name, model, prompt, options })
  if (user.waiting !== undefined) {
    const own = await queue.list({ states: ['queued'], owner: user.name, limit: user.waiting })
    if (own.length >= user.waiting)
      throw new ApiError(429, `${own.length} of your jobs wait, as many as may`, { code: 'queue_full', retryAfter: 5 })
  }
  const asked = { task, model: described?.id ?? model, options, output: wanted.output ?? {}, previews: wanted.previews ?? {} }
  const key = c.req.header('idempotency-key')
  const spec = jobSpec.parse({
    ...asked,
    owner: user.name,
    via: wanted.via,
    deadline: Date.now() + deadline,
    ...(wanted.metadata && { metadata: wanted.metadata }),
    ...(key !== undefined && { digest: hash(c.req.path, JSON.stringify(withoutSeed(asked, wanted))) }),
  })
  const job = await queue.add(spec, {
    ...(key !== undefined && { id: `key-${hash(user.name, key).slice(0, 32)}` }),
    ...(priority !== undefined && { priority }),
  })
  api.metrics.accepted.inc({ model: spec.model, via: wanted.via })
  api.log.info({ job: job.id, user: user.name, model: spec.model, via: wanted.via, request: c.get('requestId') }, 'queued')
  return job
}

const hash = (...parts: readonly string[]) => createHash('sha256').update(JSON.stringify(parts)).digest('hex')

/** A seed that was drawn here differs between two sendings of one request. */
const withoutSeed = (asked: object, { options }: Wanted) => ({ ...asked, options: { ...options, seed: undefined } })

const LONGEST_PROMPT = 32_000
/** Brackets within brackets: nobody writes more, and readers of prompts go down one by one. */
const DEEPEST = 100

/** @throws ApiError 400 for a prompt that no reader should be given */
function checkPrompt(prompt: string, param: string): void {
  if (prompt.length > LONGEST_PROMPT)
    throw badRequest(
      param,
      `${param}: ${prompt.length} characters; at most ${LONGEST_PROMPT} are read`,
      'string_above_max_length',
    )
  let depth = 0
  for (const sign of prompt) {
    if ('([{'.includes(sign)) depth++
    else if (')]}'.includes(sign)) depth = Math.max(0, depth - 1)
    if (depth > DEEPEST) throw badRequest(param, `${param}: brackets more than ${DEEPEST} deep`)
  }
}

function checkPixels({ limits }: Api, { width, height, hires = 1, num = 1 }: Readonly<Record<string, unknown>>): void {
  if (typeof num === 'number' && num > 64) throw badRequest('num', `num: at most 64 pictures in a job, got ${num}`)
  if (typeof width !== 'number' && typeof height !== 'number') return
  const pixels = Number(width ?? height) * Number(height ?? width) * Number(hires) ** 2
  if (pixels > limits.pixels) throw badRequest('size', `${width} × ${height} pixels; at most ${limits.pixels} are made`)
}

/** A job's failure as an error. */
export const failureOf = ({ error, state }: Job): JobError =>
  faultOf(error && faultText(new JobError(error.fault as JobFault, error.message, { param: error.param }))) ??
  new JobError(state === 'cancelled' ? 'cancelled' : 'internal', state === 'cancelled' ? 'it was cancelled' : 'it failed')

/**
 * Waits until a job has ended. Where the client goes away before, the job is cancelled.
 *
 * @throws JobError where it did not end well
 */
export async function untilEnd(api: Api, c: Ctx, job: Job, onEvent?: (event: JobEvent) => void): Promise<Job> {
  const gone = new AbortController()
  const { outgoing } = c.env
  const left = () => {
    if (!outgoing.writableEnded) gone.abort(new JobError('cancelled', 'the client is gone'))
  }
  outgoing.once('close', left)
  const stop = () =>
    gone.abort(
      new ApiError(503, `this server stops; the job goes on, and is to be seen at /v1/jobs/${job.id}`, { code: 'draining' }),
    )
  api.stopping.addEventListener('abort', stop)
  try {
    if (outgoing.closed) left()
    const ended = await api.service.queue.wait(job.id, { signal: gone.signal, ...(onEvent && { onEvent }) })
    if (ended.state === 'completed') return ended
    throw failureOf(ended)
  } catch (error) {
    if (error instanceof JobError && gone.signal.aborted) await api.service.queue.cancel(job.id)
    throw error
  } finally {
    api.stopping.removeEventListener('abort', stop)
    outgoing.off('close', left)
  }
}
