import type { Hono } from 'hono'
import { z } from 'zod'
import type { Job } from '../jobs/job.ts'
import type { DescribedModel } from '../jobs/models/catalogue.ts'
import { bodyOf } from './answers.ts'
import type { Api, Ctx, Env } from './env.ts'
import { ApiError, badRequest } from './errors.ts'
import { createdOf } from './openai/answer.ts'
import { fromForm, withoutNulls } from './openai/schemas.ts'
import { admit, modelOf, seeded, submit, takes } from './submit.ts'
import { formOf, jsonOf, uploadFrom } from './uploads.ts'

const VIA = 'videos'
const DAY = 24 * 3600 * 1000

export const videoRequest = z.object({
  prompt: z.string().min(1).max(32_000),
  model: z.string().optional(),
  seconds: z
    .union([z.string().regex(/^\d{1,3}(\.\d+)?$/), z.number().positive()])
    .optional()
    .meta({ description: 'where the model has a length to choose' }),
  size: z
    .string()
    .regex(/^[1-9]\d{0,4}x[1-9]\d{0,4}$/, 'expected WIDTHxHEIGHT')
    .optional(),
  seed: z.int().min(0).optional(),
  options: z.record(z.string(), z.unknown()).optional().meta({ description: 'any other option of the model by its own name' }),
})

export const videoQuery = z.object({
  after: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(100).default(20),
  order: z.enum(['asc', 'desc']).default('desc'),
})

/** OpenAI's `/v1/videos`, for every model whose page makes frames: a video is a job. */
export function videos(app: Hono<Env>, api: Api): void {
  const { queue } = api.service
  app.post('/v1/videos', async (c) => {
    admit(api, c)
    const { picture, ...request } = await requestOf(api, c)
    const { prompt, seconds, size, seed, options = {}, model: name } = videoRequest.parse(request)
    const model = name === undefined ? await firstOf(api) : await modelOf(api, name, 'frames')
    const known = takes(model)
    const given: Record<string, unknown> = { ...(known.has('prompt') && { prompt }), ...options }
    const set = (param: string, key: string, value: unknown) => {
      if (value === undefined) return
      if (!known.has(key)) throw badRequest(param, `${param}: ${model.id} (${model.className}) takes no ${key}`)
      given[key] = value
    }
    const [width, height] = size?.split('x').map(Number) ?? []
    set('size', 'width', width)
    set('size', 'height', height)
    set('seconds', 'seconds', seconds === undefined ? undefined : Number(seconds))
    set('seed', 'seed', seed)
    set('input_reference', 'image', picture)
    const job = await submit(api, c, { model: model.id, options: seeded(model, given), via: VIA, deadline: DAY })
    return c.json(videoOf(job))
  })
  app.get('/v1/videos', async (c) => {
    const { after, limit, order } = videoQuery.parse(c.req.query())
    const found = await queue.list({ owner: c.get('user').name, limit: 1000 })
    const all = found.filter(({ spec }) => spec.via === VIA)
    if (order === 'asc') all.reverse()
    const from = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1
    const data = all.slice(from, from + limit)
    return c.json({
      ...{ object: 'list', data: data.map(videoOf), has_more: from + limit < all.length },
      ...{ first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null },
    })
  })
  app.get('/v1/videos/:id', async (c) => c.json(videoOf(await found(api, c))))
  app.delete('/v1/videos/:id', async (c) => {
    const { id } = await found(api, c)
    await queue.cancel(id)
    const ended = await queue.wait(id)
    await queue.remove(ended.id)
    return c.json({ id, object: 'video.deleted', deleted: true })
  })
  app.get('/v1/videos/:id/content', async (c) => {
    const job = await found(api, c)
    const variant = c.req.query('variant') ?? 'video'
    if (variant !== 'video') throw badRequest('variant', `variant: ${variant} is not made here; video is`)
    const [file] = job.result?.files ?? []
    if (!file) throw new ApiError(409, `video ${job.id} is ${statusOf(job)}`, { code: 'video_not_ready' })
    const stored = await api.service.store.stream(job.spec.owner, file.file)
    if (!stored) throw new ApiError(410, `the file of video ${job.id} is gone`, { code: 'expired' })
    return c.body(bodyOf(stored.body), 200, {
      'content-type': stored.type,
      'content-length': String(stored.bytes),
    })
  })
}

async function requestOf(api: Api, c: Ctx): Promise<Record<string, unknown>> {
  if (!/^multipart\//i.test(c.req.header('content-type') ?? ''))
    return withoutNulls(await jsonOf(c, api.limits.json)) as Record<string, unknown>
  const form = await formOf(c, api.limits.upload)
  const reference = form.get('input_reference')
  return {
    ...fromForm(form, videoRequest),
    ...(reference !== null && { picture: (await uploadFrom(api, c, reference, 'input_reference')).ref }),
  }
}

/** @throws ApiError 404 where no model makes frames */
async function firstOf(api: Api): Promise<DescribedModel> {
  const found = (await api.service.catalogue.list()).find(({ output }) => output === 'frames')
  if (!found) throw new ApiError(404, 'no model here makes videos', { code: 'model_not_found', param: 'model' })
  return found
}

async function found(api: Api, c: Ctx): Promise<Job> {
  const id = c.req.param('id') ?? ''
  const job = /^[\w-]{1,64}$/.test(id) ? await api.service.queue.get(id) : undefined
  if (!job || job.spec.via !== VIA || job.spec.owner !== c.get('user').name)
    throw new ApiError(404, `no video ${JSON.stringify(id)}`, { code: 'not_found' })
  return job
}

const statusOf = ({ state }: Job) =>
  ({ queued: 'queued', running: 'in_progress', completed: 'completed', failed: 'failed', cancelled: 'failed' })[state]

function videoOf(job: Job) {
  const { id, spec, result, progress, error, ended, state } = job
  const file = result?.files[0]
  const percent =
    state === 'completed' ? 100 : progress && progress.total > 0 ? Math.floor((100 * progress.done) / progress.total) : 0
  const failed =
    state === 'cancelled'
      ? { code: 'cancelled', message: 'it was cancelled' }
      : error && { code: error.fault, message: error.message }
  return {
    ...{ id, object: 'video' as const, status: statusOf(job), progress: percent, model: spec.model, created_at: createdOf(job) },
    ...{ completed_at: state === 'completed' && ended ? Math.floor(ended / 1000) : null, expires_at: null },
    ...{ prompt: typeof spec.options.prompt === 'string' ? spec.options.prompt : null, remixed_from_video_id: null },
    size: file ? `${file.width}x${file.height}` : null,
    seconds: file?.frames && file.rate ? String(file.frames / file.rate) : null,
    error: failed ?? null,
  }
}
