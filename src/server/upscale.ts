import type { Hono } from 'hono'
import { z } from 'zod'
import type { Api, Ctx, Env } from './env.ts'
import { ApiError } from './errors.ts'
import { base64Of, createdOf } from './openai/answer.ts'
import { fromForm, withoutNulls } from './openai/schemas.ts'
import { admit, submit, untilEnd } from './submit.ts'
import { formOf, jsonOf, uploadFrom, uploadText } from './uploads.ts'

export const upscaleRequest = z.object({
  model: z.string().default('lanczos').meta({ description: 'as GET /v1/upscalers lists them' }),
  scale: z.number().positive().max(64).optional().meta({ description: 'how much larger; the model’s own unless given' }),
  tile: z.int().min(0).optional(),
  response_format: z.enum(['b64_json', 'url']).default('b64_json'),
})

/** Larger pictures: one in a form, or in base64 as `image` in JSON. */
export function upscale(app: Hono<Env>, api: Api): void {
  app.get('/v1/upscalers', (c) =>
    c.json({ object: 'list', data: api.service.catalogue.upscalers().map(({ id }) => ({ id, object: 'upscaler' })) }),
  )
  app.post('/v1/upscale', async (c) => {
    admit(api, c)
    const { image, ...request } = await requestOf(api, c)
    const { model, scale, tile, response_format: format } = upscaleRequest.parse(request)
    if (!api.service.catalogue.upscaler(model))
      throw new ApiError(404, `no upscaler ${JSON.stringify(model)}; GET /v1/upscalers lists them`, {
        code: 'model_not_found',
        param: 'model',
      })
    const options = { image, ...(scale !== undefined && { scale }), ...(tile !== undefined && { tile }) }
    const job = await submit(api, c, { task: 'upscale', model, options, via: 'upscale' })
    const files = (await untilEnd(api, c, job)).result?.files ?? []
    const owner = c.get('user').name
    const data = files.map(async (file) =>
      format === 'url'
        ? { url: `${new URL(c.req.url).origin}${api.links.to(owner, file.file)}` }
        : { b64_json: await base64Of(api, owner, file) },
    )
    const [file] = files
    return c.json({
      created: createdOf(job),
      data: await Promise.all(data),
      ...(file && { size: `${file.width}x${file.height}` }),
    })
  })
}

async function requestOf(api: Api, c: Ctx): Promise<Record<string, unknown>> {
  if (/^multipart\//i.test(c.req.header('content-type') ?? '')) {
    const form = await formOf(c, api.limits.upload)
    return { ...fromForm(form, upscaleRequest), image: (await uploadFrom(api, c, form.get('image'), 'image')).ref }
  }
  const body = withoutNulls(await jsonOf(c, api.limits.upload)) as { image?: unknown }
  return { ...body, image: (await uploadText(api, c, body.image, 'image')).ref }
}
