import type { Hono } from 'hono'
import { streamSSE } from 'hono/streaming'
import { z } from 'zod'
import { type Job, jobStates, outputFormats } from '../jobs/job.ts'
import type { JobEvent } from '../jobs/queue/events.ts'
import type { Api, Ctx, Env } from './env.ts'
import { ApiError } from './errors.ts'
import { openEvents } from './events.ts'
import { admit, modelOf, seeded, submit } from './submit.ts'
import { jsonOf } from './uploads.ts'

const priority = z.number().min(-100).max(100).meta({ description: 'more is sooner; 0 unless given' })

export const jobRequest = z.strictObject({
  task: z.enum(['generate', 'upscale']).default('generate').meta({ description: 'upscale enlarges options.image' }),
  model: z.string().optional().meta({ description: 'as GET /v1/models lists them; of upscale, GET /v1/upscalers' }),
  options: z
    .record(z.string(), z.unknown())
    .default({})
    .meta({ description: 'the model’s own options; pictures as { "file": id }' }),
  output: z
    .strictObject({
      format: z.enum(outputFormats).default('png'),
      quality: z.int().min(1).max(100).optional(),
      metadata: z.boolean().default(true).meta({ description: 'the settings stand in the file' }),
    })
    .optional(),
  previews: z
    .strictObject({
      count: z.int().min(0).max(10).default(0).meta({ description: 'so many pictures of the way, evenly spread' }),
      every: z.int().min(100).optional().meta({ description: 'a small picture of the way, at most every so many milliseconds' }),
    })
    .optional(),
  priority: priority.optional(),
  deadline: z
    .number()
    .positive()
    .max(7 * 24 * 3600)
    .optional()
    .meta({ description: 'seconds within which it must have ended' }),
  metadata: z.record(z.string().max(64), z.string().max(512)).optional().meta({ description: 'words of your own, given back' }),
})

export const jobChange = z
  .strictObject({ priority: priority.optional(), position: z.enum(['first', 'last']).optional() })
  .refine(
    (change) => (change.priority === undefined) !== (change.position === undefined),
    'expected one of priority and position',
  )

export const jobQuery = z.object({
  state: z
    .string()
    .optional()
    .transform((text) => text?.split(','))
    .pipe(z.array(z.enum(jobStates)).optional())
    .meta({ description: `of ${jobStates.join(', ')}; several with commas` }),
  limit: z.coerce.number().int().min(1).max(200).default(50),
  offset: z.coerce.number().int().min(0).default(0),
})

/** langevin's own `/v1/jobs`: what a studio is made on. */
export function jobs(app: Hono<Env>, api: Api): void {
  const { queue } = api.service
  app.post('/v1/jobs', async (c) => {
    admit(api, c)
    const { deadline, task, model: name, ...request } = jobRequest.parse(await jsonOf(c, api.limits.json))
    const { id, options } =
      task === 'generate' ? await generating(name, request.options) : { id: name ?? 'lanczos', options: request.options }
    const job = await submit(api, c, {
      ...{ task, model: id, options, via: 'jobs', metadata: request.metadata, priority: request.priority },
      ...(request.output && { output: request.output }),
      ...(request.previews && { previews: request.previews }),
      deadline: deadline === undefined ? DAY : deadline * 1000,
    })
    c.header('location', `/v1/jobs/${job.id}`)
    return c.json(shown(api, job), 202)
  })
  const generating = async (name: string | undefined, options: Record<string, unknown>) => {
    const model = await modelOf(api, name)
    return { id: model.id, options: seeded(model, options) }
  }
  app.get('/v1/jobs', async (c) => {
    const { state, limit, offset } = jobQuery.parse(c.req.query())
    const found = await queue.list({ ...(state && { states: state }), owner: ownerOf(c), limit, offset })
    return c.json({ object: 'list', data: found.map((job) => shown(api, job)) })
  })
  app.get('/v1/jobs/events', (c) => events(api, c))
  app.get('/v1/jobs/:id', async (c) => c.json(shown(api, await jobOf(api, c))))
  app.get('/v1/jobs/:id/events', async (c) => events(api, c, await jobOf(api, c)))
  app.patch('/v1/jobs/:id', async (c) => {
    const { id } = await jobOf(api, c)
    await queue.move(id, jobChange.parse(await jsonOf(c, api.limits.json)))
    return c.json(shown(api, await jobOf(api, c)))
  })
  app.post('/v1/jobs/:id/cancel', async (c) => {
    const { id } = await jobOf(api, c)
    await queue.cancel(id)
    return c.json(shown(api, await jobOf(api, c)))
  })
  app.post('/v1/jobs/:id/retry', async (c) => {
    admit(api, c)
    const { id } = await jobOf(api, c)
    return c.json(shown(api, await queue.retry(id)), 202)
  })
  app.delete('/v1/jobs/:id', async (c) => {
    const { id } = await jobOf(api, c)
    await queue.remove(id)
    return c.json({ id, object: 'job', deleted: true })
  })
  app.get('/v1/queue', async (c) => c.json(await state(api)))
  app.post('/v1/queue/:verb{pause|resume}', async (c) => {
    if (!c.get('user').admin) throw new ApiError(403, 'only an administrator pauses the queue', { code: 'forbidden' })
    await (c.req.param('verb') === 'pause' ? queue.pause() : queue.resume())
    return c.json(await state(api))
  })
}

const DAY = 24 * 3600 * 1000

const state = async ({ service: { queue } }: Api) => ({ paused: await queue.isPaused(), counts: await queue.counts() })

/** Whose jobs are shown: an administrator sees all. */
const ownerOf = (c: Ctx) => (c.get('user').admin ? undefined : c.get('user').name)

/** @throws ApiError 404 also for another user's job, of which nobody learns that it is there */
async function jobOf(api: Api, c: Ctx): Promise<Job> {
  const id = c.req.param('id') ?? ''
  const job = /^[\w-]{1,64}$/.test(id) ? await api.service.queue.get(id) : undefined
  const owner = ownerOf(c)
  if (!job || (owner !== undefined && job.spec.owner !== owner))
    throw new ApiError(404, `no job ${JSON.stringify(id)}`, { code: 'not_found' })
  return job
}

/** A job as it is shown, with addresses of its files. */
export function shown({ links }: Api, job: Job) {
  const { spec, progress, result, ...rest } = job
  const { owner, digest: _, ...asked } = spec
  const linked = <F extends { readonly file: string }>(file: F) => ({ ...file, url: links.to(owner, file.file) })
  return {
    object: 'job' as const,
    ...rest,
    ...asked,
    owner,
    ...(progress && { progress: { ...progress, ...etaOf(job), ...(progress.preview && { preview: linked(progress.preview) }) } }),
    ...(result && { result: { ...result, files: result.files.map(linked) } }),
  }
}

/** Seconds that are left, from what the steps so far took. */
function etaOf({ progress, started, state }: Job): { readonly eta?: number } {
  if (state !== 'running' || !progress || !started || progress.done === 0) return {}
  const each = (progress.at - (progress.began ?? started)) / progress.done
  return { eta: Math.max(0, (each * (progress.total - progress.done)) / 1000) }
}

/** Milliseconds between signs of life, so that nothing between closes a quiet connection. */
const HEARTBEAT = 15_000

/**
 * What happens to one job, or to all of a user's, as server-sent events `queued`, `running`, `progress`, `completed`, `failed`, `cancelled`
 * and `changed`, each with the job. Of a job that has ended, its last.
 */
function events(api: Api, c: Ctx, one?: Job): Response {
  const owner = ownerOf(c)
  c.header('x-accel-buffering', 'no')
  return streamSSE(c, async (stream) => {
    const source = openEvents(api.service.queue, one?.id ?? '*')
    stream.onAbort(() => source.end())
    const beat = setInterval(() => void stream.write(': alive\n\n'), HEARTBEAT)
    const tell = async (event: JobEvent) => {
      const job = await api.service.queue.get(event.id).catch(() => undefined)
      if (!job || (owner !== undefined && job.spec.owner !== owner)) return false
      const now = event.type === 'progress' ? { ...job, progress: event.progress } : job
      await stream.writeSSE({ event: event.type, data: JSON.stringify(shown(api, now)) })
      return one !== undefined && ended(job)
    }
    try {
      if (one && (await tell({ type: one.state, id: one.id } as JobEvent))) return
      for await (const event of source.events) if (await tell(event)) return
    } finally {
      clearInterval(beat)
      source.end()
    }
  })
}

const ended = ({ state }: Job) => state !== 'queued' && state !== 'running'
