import type { Hono } from 'hono'
import { z } from 'zod'
import type { Api, Env } from './env.ts'
import { ApiError } from './errors.ts'
import { createdOf } from './openai/answer.ts'
import { withoutNulls } from './openai/schemas.ts'
import { admit, modelOf, seeded, submit, untilEnd } from './submit.ts'
import { jsonOf } from './uploads.ts'

export const textRequest = z.object({
  model: z.string().optional().meta({ description: 'of those whose output is text; the first unless given' }),
  options: z.record(z.string(), z.unknown()).default({}).meta({ description: 'the model’s own options' }),
})

/** Texts of every model whose page makes text. */
export function text(app: Hono<Env>, api: Api): void {
  app.post('/v1/text', async (c) => {
    admit(api, c)
    const { model: name, options } = textRequest.parse(withoutNulls(await jsonOf(c, api.limits.json)))
    const all = name === undefined ? await api.service.catalogue.list() : []
    const model = name === undefined ? all.find(({ output }) => output === 'text') : await modelOf(api, name, 'text')
    if (!model) throw new ApiError(404, 'no model here makes text', { code: 'model_not_found', param: 'model' })
    const job = await submit(api, c, { model: model.id, options: seeded(model, options), via: 'text' })
    const ended = await untilEnd(api, c, job)
    return c.json({ created: createdOf(job), model: model.id, texts: ended.result?.texts ?? [] })
  })
}
