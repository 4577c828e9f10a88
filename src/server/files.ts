import type { Hono } from 'hono'
import { bodyOf } from './answers.ts'
import type { Api, Ctx, Env } from './env.ts'
import { ApiError } from './errors.ts'
import { bytesOf, formOf, upload, uploadFrom } from './uploads.ts'

/** Pictures that jobs are given, and files that they made: by the SHA-256 of their bytes, each user's apart. */
export function files(app: Hono<Env>, api: Api): void {
  app.post('/v1/files', async (c) => {
    if (api.draining()) throw new ApiError(503, 'this server is about to stop', { code: 'draining', retryAfter: 5 })
    const type = c.req.header('content-type') ?? ''
    const given = /^multipart\//i.test(type)
      ? await uploadFrom(api, c, (await formOf(c, api.limits.upload)).get('file'), 'file')
      : await upload(api, c, await bytesOf(c, api.limits.picture), { param: 'file', mime: type || undefined })
    const { file } = given.ref
    return c.json({
      ...{ object: 'file' as const, id: file, bytes: given.bytes, type: given.type, ...given.facts },
      url: api.links.to(c.get('user').name, file),
    })
  })
  app.get('/v1/files/:id/content', (c) => content(api, c, c.get('user').name))
}

/** A file by an address that holds for a while: no key is asked for. */
export function linkedFiles(app: Hono<Env>, api: Api): void {
  app.get('/v1/files/:id/content', async (c, next) => {
    const query = c.req.query()
    if (query.signature === undefined) return next()
    const { owner = '' } = query
    if (!api.links.holds(c.req.param('id'), query))
      throw new ApiError(403, 'this address holds no more', { code: 'link_expired' })
    return content(api, c, owner)
  })
}

async function content({ service }: Api, c: Ctx, owner: string): Promise<Response> {
  const id = c.req.param('id') ?? ''
  const found = await service.store.stream(owner, id)
  if (!found) throw new ApiError(404, `no file ${JSON.stringify(id)}`, { code: 'not_found' })
  c.header('content-type', found.type)
  c.header('content-length', String(found.bytes))
  // A file never changes; and whatever its bytes are, a browser takes them for nothing but a picture.
  c.header('cache-control', 'private, max-age=31536000, immutable')
  c.header('x-content-type-options', 'nosniff')
  c.header('content-security-policy', "default-src 'none'; sandbox")
  return c.body(bodyOf(found.body))
}
