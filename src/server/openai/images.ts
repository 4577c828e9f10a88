import type { Hono } from 'hono'
import type { MadeFile } from '../../jobs/job.ts'
import type { DescribedModel } from '../../jobs/models/catalogue.ts'
import type { Api, Ctx, Env } from '../env.ts'
import { badRequest } from '../errors.ts'
import { admit, modelOf, submit, takes, untilEnd } from '../submit.ts'
import { formOf, jsonOf, type Uploaded, uploadFrom } from '../uploads.ts'
import { base64Of, type EventKind, factsOf, reworded } from './answer.ts'
import { optionsOf, outputOf } from './options.ts'
import { editRequest, fromForm, type GenerationRequest, generationRequest, variationRequest, withoutNulls } from './schemas.ts'
import { streamed } from './stream.ts'

type Run = Partial<GenerationRequest> & { readonly response_format?: 'b64_json' | 'url' }

/** OpenAI's `/v1/images`. */
export function images(app: Hono<Env>, api: Api): void {
  app.post('/v1/images/generations', async (c) => {
    admit(api, c)
    const request = generationRequest.parse(withoutNulls(await jsonOf(c, api.limits.json)))
    const model = await modelOf(api, request.model, 'pictures')
    return answer(
      api,
      c,
      model,
      request,
      inWords(() => optionsOf(model, request)),
      'image_generation',
    )
  })
  app.post('/v1/images/edits', async (c) => {
    admit(api, c)
    const form = await formOf(c, api.limits.upload)
    const request = editRequest.parse(fromForm(form, editRequest))
    const model = await modelOf(api, request.model, 'pictures')
    const pictures = await editedIn(api, c, form, model)
    return answer(api, c, model, request, { ...inWords(() => optionsOf(model, request)), ...pictures }, 'image_edit')
  })
  app.post('/v1/images/variations', async (c) => {
    admit(api, c)
    const form = await formOf(c, api.limits.upload)
    const request = variationRequest.parse(fromForm(form, variationRequest))
    const model = await modelOf(api, request.model, 'pictures')
    const known = takes(model)
    if (!known.has('image') || known.has('prompt'))
      throw badRequest(
        'model',
        `${model.id} (${model.className}) makes no variations of a picture; /v1/images/edits takes a prompt`,
      )
    const { ref } = await uploadFrom(api, c, form.get('image'), 'image')
    return answer(api, c, model, request, { ...inWords(() => optionsOf(model, request)), image: ref }, 'image_variation')
  })
}

/** The pictures of an edit as options: what is transparent in the mask is repainted, or in the picture where there is no mask. */
async function editedIn(api: Api, c: Ctx, form: FormData, model: DescribedModel): Promise<Record<string, unknown>> {
  const given = [...form.getAll('image'), ...form.getAll('image[]')]
  const known = takes(model)
  if (given.length === 0) throw badRequest('image', 'image: missing')
  if (!known.has('image')) throw badRequest('model', `${model.id} (${model.className}) edits no pictures`)
  if (given.length > 1) throw badRequest('image', `image: ${model.id} edits one picture at a time, got ${given.length}`)
  const image = await uploadFrom(api, c, given[0], 'image')
  const masked = form.get('mask')
  if (masked === null) return { image: image.ref, ...(known.has('mask') && image.facts.hasAlpha && { mask: transparent(image) }) }
  if (!known.has('mask')) throw badRequest('mask', `mask: ${model.id} (${model.className}) takes none`)
  const mask = await uploadFrom(api, c, masked, 'mask')
  const [own, whole] = [mask.facts, image.facts]
  if (own.width !== whole.width || own.height !== whole.height)
    throw badRequest(
      'mask',
      `mask: ${own.width} × ${own.height} pixels, and the picture has ${whole.width} × ${whole.height}; they must be of one size`,
    )
  if (!own.hasAlpha) throw badRequest('mask', 'mask: has no transparent part; what is transparent is repainted')
  return { image: image.ref, mask: transparent(mask) }
}

const transparent = ({ ref }: Uploaded) => ({ ...ref, mask: 'transparent' as const })

/** Runs what may find fault with the page's options, and says it in the request's words. */
function inWords<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw reworded(error)
  }
}

async function answer(
  api: Api,
  c: Ctx,
  model: DescribedModel,
  request: Run,
  options: Record<string, unknown>,
  kind: EventKind,
): Promise<Response> {
  const { stream = false, partial_images: partials = 0, n = 1 } = request
  if (stream && n > 1) throw badRequest('n', 'n: a stream is of one picture, since its events have no number')
  if (!stream && partials > 0) throw badRequest('partial_images', 'partial_images: only with stream')
  const output = outputOf(request)
  const job = await submit(api, c, {
    model: model.id,
    options,
    output,
    previews: { count: stream ? partials : 0 },
    via: kind,
  }).catch((error) => {
    throw reworded(error)
  })
  if (stream) return streamed(api, c, job, kind)
  const ended = await untilEnd(api, c, job).catch((error) => {
    throw reworded(error)
  })
  const files = ended.result?.files ?? []
  return c.json({
    created: Math.floor(ended.created / 1000),
    data: await Promise.all(files.map((file) => pictureOf(api, c, file, request.response_format))),
    ...factsOf(files[0], job.spec),
  })
}

async function pictureOf(api: Api, c: Ctx, file: MadeFile, format: Run['response_format']) {
  const seed = file.seed !== undefined && { seed: file.seed }
  if (format === 'url') return { url: `${new URL(c.req.url).origin}${api.links.to(c.get('user').name, file.file)}`, ...seed }
  return { b64_json: await base64Of(api, c.get('user').name, file), ...seed }
}
