import type { Hono } from 'hono'
import { z } from 'zod'
import type { Api, Env } from './env.ts'
import { badRequest } from './errors.ts'
import { withoutNulls } from './openai/schemas.ts'
import { admit, modelOf, seeded, submit, takes, untilEnd } from './submit.ts'
import { jsonOf } from './uploads.ts'

export const huggingFaceRequest = z.object({
  inputs: z.string().max(32_000).meta({ description: 'the prompt' }),
  parameters: z
    .preprocess(
      withoutNulls,
      z.object({
        guidance_scale: z.number().optional(),
        negative_prompt: z.string().optional(),
        num_inference_steps: z.int().min(1).max(10_000).optional(),
        width: z.int().positive().optional(),
        height: z.int().positive().optional(),
        scheduler: z.string().optional(),
        seed: z.int().min(0).optional(),
      }),
    )
    .default({}),
})

const names = {
  guidance_scale: 'guidance',
  negative_prompt: 'negative',
  num_inference_steps: 'steps',
  width: 'width',
  height: 'height',
  scheduler: 'scheduler',
  seed: 'seed',
} as const

const formats = { 'image/png': 'png', 'image/jpeg': 'jpeg', 'image/webp': 'webp' } as const

/** Hugging Face's text-to-image: a prompt in, the bytes of a picture out. */
export function huggingFace(app: Hono<Env>, api: Api): void {
  for (const path of ['/models/:model{.+}', '/hf-inference/models/:model{.+}'])
    app.post(path, async (c) => {
      admit(api, c)
      const { inputs, parameters } = huggingFaceRequest.parse(withoutNulls(await jsonOf(c, api.limits.json)))
      const model = await modelOf(api, c.req.param('model'), 'pictures')
      const known = takes(model)
      const options: Record<string, unknown> = known.has('prompt')
        ? { prompt: inputs }
        : known.has('label')
          ? { label: [inputs] }
          : {}
      for (const [param, name] of Object.entries(names)) {
        const value = parameters[param as keyof typeof names]
        if (value === undefined) continue
        if (!known.has(name)) throw badRequest(param, `${param}: ${model.id} (${model.className}) takes no ${name}`)
        options[name] = value
      }
      const wanted = Object.entries(formats).find(([type]) => c.req.header('accept')?.includes(type))
      const format = wanted?.[1] ?? 'png'
      const job = await submit(api, c, {
        model: model.id,
        options: seeded(model, options),
        output: { format },
        via: 'huggingface',
      })
      const [file] = (await untilEnd(api, c, job)).result?.files ?? []
      const stored = file && (await api.service.store.get(c.get('user').name, file.file))
      if (!stored) throw badRequest('model', `${model.id} made no picture`)
      return c.body(Buffer.from(stored.bytes), 200, { 'content-type': stored.type })
    })
}
