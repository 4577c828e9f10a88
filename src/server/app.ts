import { randomUUID } from 'node:crypto'
import { Hono } from 'hono'
import { routePath } from 'hono/route'
import { a1111 } from './a1111/routes.ts'
import { answerOf } from './answers.ts'
import type { Api, Env } from './env.ts'
import { ApiError, apiErrorOf } from './errors.ts'
import { files, linkedFiles } from './files.ts'
import { health, metrics } from './health.ts'
import { huggingFace } from './huggingface.ts'
import { jobs } from './jobs.ts'
import { images } from './openai/images.ts'
import { models } from './openai/models.ts'
import { openApiRoute } from './openapi.ts'
import { type Admission, authenticate, checkOrigin } from './security.ts'
import { studio } from './studio.ts'
import { text } from './text.ts'
import { upscale } from './upscale.ts'
import { videos } from './videos.ts'

/** Every route. */
export function createApp(api: Api, admission: Admission): Hono<Env> {
  const app = new Hono<Env>()
  app.use(async (c, next) => {
    const began = performance.now()
    const id = randomUUID()
    c.set('requestId', id)
    c.header('x-request-id', id)
    await next()
    const seconds = (performance.now() - began) / 1000
    const route = routePath(c, -1)
    api.metrics.requests.observe({ method: c.req.method, route, status: c.res.status }, seconds)
    api.log.debug({ request: id, method: c.req.method, path: c.req.path, status: c.res.status, seconds }, 'request')
  })
  health(app, api)
  openApiRoute(app)
  app.use(checkOrigin(admission))
  studio(app)
  linkedFiles(app, api)
  app.use(authenticate(admission.users))
  metrics(app, api)
  models(app, api)
  images(app, api)
  videos(app, api)
  text(app, api)
  upscale(app, api)
  files(app, api)
  jobs(app, api)
  a1111(app, api)
  huggingFace(app, api)
  app.notFound((c) => {
    throw new ApiError(404, `no ${c.req.method} ${c.req.path} here; GET /openapi.json lists what is`, { code: 'unknown_url' })
  })
  app.onError((error, c) => {
    const found = apiErrorOf(error)
    const line = { request: c.get('requestId'), method: c.req.method, path: c.req.path, status: found.status, err: error }
    if (found.status >= 500 && found.status !== 503) api.log.error(line, found.message)
    else api.log.info({ ...line, err: undefined }, found.message)
    if (found.retryAfter !== undefined) c.header('retry-after', String(found.retryAfter))
    if (!found.shouldRetry) c.header('x-should-retry', 'false')
    return answerOf(c, found)
  })
  return app
}
