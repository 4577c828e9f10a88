import type { Hono } from 'hono'
import { samplerTable } from '../../diffusion/schedulers/names.ts'
import { readPictureText } from '../../images/settings.ts'
import type { Job } from '../../jobs/job.ts'
import type { PictureRef } from '../../jobs/models/options.ts'
import type { Api, Ctx, Env } from '../env.ts'
import { base64Of } from '../openai/answer.ts'
import { withoutNulls } from '../openai/schemas.ts'
import { admit, modelOf, submit, untilEnd } from '../submit.ts'
import { jsonOf, uploadText } from '../uploads.ts'
import { optionsOf } from './options.ts'
import { extraRequest, imageRequest, optionsRequest, pngInfoRequest, type TextRequest, textRequest } from './schemas.ts'

const VIA = 'a1111'

/** What each user chose by `POST /options`, as the web UI keeps it for everybody. */
type Chosen = Map<string, string>

/** The part of AUTOMATIC1111's `/sdapi/v1` that its clients use. */
export function a1111(app: Hono<Env>, api: Api): void {
  const chosen: Chosen = new Map()
  const read = (c: Ctx, limit: number) => jsonOf(c, limit).then(withoutNulls)
  app.post('/sdapi/v1/txt2img', async (c) => {
    admit(api, c)
    const request = textRequest.parse(await read(c, api.limits.json))
    return made(api, c, chosen, request, {})
  })
  app.post('/sdapi/v1/img2img', async (c) => {
    admit(api, c)
    const request = imageRequest.parse(await read(c, api.limits.upload))
    const { ref: image } = await uploadText(api, c, request.init_images[0], 'init_images')
    const mask =
      request.mask === undefined ? undefined : await maskOf(api, c, request.mask, Boolean(request.inpainting_mask_invert))
    return made(api, c, chosen, request, { image, ...(mask && { mask }) })
  })
  app.post('/sdapi/v1/extra-single-image', async (c) => {
    admit(api, c)
    const { image, upscaler_1: name, upscaling_resize: scale } = extraRequest.parse(await read(c, api.limits.upload))
    const { ref } = await uploadText(api, c, image, 'image')
    const model = /^lanczos$/i.test(name) ? 'lanczos' : name
    const job = await submit(api, c, { task: 'upscale', model, options: { image: ref, scale }, via: VIA })
    const [file] = (await untilEnd(api, c, job)).result?.files ?? []
    return c.json({ html_info: '', image: file ? await base64Of(api, c.get('user').name, file) : '' })
  })
  app.get('/sdapi/v1/progress', async (c) => c.json(await progress(api, c)))
  for (const verb of ['interrupt', 'skip'])
    app.post(`/sdapi/v1/${verb}`, async (c) => {
      for (const { id } of await own(api, c, 16)) await api.service.queue.cancel(id)
      return c.json({})
    })
  app.post('/sdapi/v1/png-info', async (c) => {
    const { image } = pngInfoRequest.parse(await read(c, api.limits.upload))
    const texts = readPictureText(Buffer.from(image.replace(/^data:[^,]*,/, ''), 'base64'), 'image')
    return c.json({ info: texts.get('parameters') ?? '', items: Object.fromEntries(texts), parameters: {} })
  })
  app.get('/sdapi/v1/options', (c) => c.json({ sd_model_checkpoint: chosenBy(api, c, chosen), samples_format: 'png' }))
  app.post('/sdapi/v1/options', async (c) => {
    const { sd_model_checkpoint: name } = optionsRequest.parse(await read(c, api.limits.json))
    if (name !== undefined) chosen.set(c.get('user').name, (await modelOf(api, nameIn(name), 'pictures')).id)
    return c.json({})
  })
  lists(app, api)
}

/** What clients fill their menus with. */
function lists(app: Hono<Env>, api: Api): void {
  app.get('/sdapi/v1/samplers', (c) => c.json(samplerTable.map(({ name, aliases }) => ({ name, aliases, options: {} }))))
  app.get('/sdapi/v1/schedulers', (c) =>
    c.json(['Automatic', 'Karras', 'Exponential'].map((label) => ({ name: label.toLowerCase(), label }))),
  )
  app.get('/sdapi/v1/upscalers', (c) =>
    c.json(
      api.service.catalogue
        .upscalers()
        .map(({ id }) => ({ name: id, model_name: id, model_path: null, model_url: null, scale: 4 })),
    ),
  )
  app.get('/sdapi/v1/sd-models', async (c) => {
    const all = await api.service.catalogue.list()
    const found = all.filter(({ output }) => output === 'pictures')
    return c.json(found.map(({ id }) => ({ title: id, model_name: id, hash: null, sha256: null, filename: id, config: null })))
  })
  app.post('/sdapi/v1/refresh-checkpoints', (c) => c.json({}))
  app.get('/sdapi/v1/loras', (c) => c.json([]))
  app.get('/sdapi/v1/sd-vae', (c) => c.json([]))
  app.get('/sdapi/v1/prompt-styles', (c) => c.json([]))
  app.get('/sdapi/v1/embeddings', (c) => c.json({ loaded: {}, skipped: {} }))
}

/** The web UI writes `name.safetensors [hash]`. */
const nameIn = (title: string) => title.replace(/ \[\w+\]$/, '').replace(/\.(safetensors|ckpt)$/, '')

const chosenBy = (api: Api, c: Ctx, chosen: Chosen) => chosen.get(c.get('user').name) ?? api.defaultModel

async function maskOf(api: Api, c: Ctx, text: string, inverted: boolean): Promise<PictureRef> {
  const { ref } = await uploadText(api, c, text, 'mask')
  return inverted ? { ...ref, mask: 'inverted' } : ref
}

async function made(
  api: Api,
  c: Ctx,
  chosen: Chosen,
  request: Partial<TextRequest>,
  pictures: Record<string, unknown>,
): Promise<Response> {
  const name = request.override_settings?.sd_model_checkpoint
  const model = await modelOf(api, name ? nameIn(name) : chosenBy(api, c, chosen), 'pictures')
  const options = { ...optionsOf(model, request), ...pictures }
  const job = await submit(api, c, { model: model.id, options, previews: { every: 500 }, via: VIA })
  const ended = await untilEnd(api, c, job).catch(() => api.service.queue.get(job.id))
  if (ended?.state !== 'completed' && ended?.error?.fault !== 'cancelled') await untilEnd(api, c, job)
  return c.json(await answerOf(api, c, ended ?? job, request))
}

/** Pictures as the web UI gives them; of a run that was interrupted, what it had come to. */
async function answerOf(api: Api, c: Ctx, { result, progress, spec }: Job, request: Partial<TextRequest>) {
  const files = result?.files ?? (progress?.preview ? [progress.preview] : [])
  const { init_images: _, mask: __, ...parameters } = request as Record<string, unknown>
  const seeds = files.map(({ seed }) => seed ?? -1)
  const info = {
    ...{ prompt: request.prompt, all_prompts: files.map(() => request.prompt), negative_prompt: request.negative_prompt ?? '' },
    ...{ seed: seeds[0] ?? -1, all_seeds: seeds, width: files[0]?.width, height: files[0]?.height, batch_size: files.length },
    ...{ sampler_name: result?.settings.Sampler, cfg_scale: result?.settings['CFG scale'], steps: result?.settings.Steps },
    sd_model_name: spec.model,
  }
  const images = request.send_images === false ? [] : files.map((file) => base64Of(api, c.get('user').name, file))
  return { images: await Promise.all(images), parameters, info: JSON.stringify(info) }
}

/** The user's jobs that came by this interface and have not ended. */
async function own(api: Api, c: Ctx, limit: number): Promise<Job[]> {
  const all = await api.service.queue.list({ states: ['running', 'queued'], owner: c.get('user').name, limit: 200 })
  return all.filter(({ spec }) => spec.via === VIA).slice(0, limit)
}

async function progress(api: Api, c: Ctx) {
  const jobs = await own(api, c, 200)
  const job = jobs.find(({ state }) => state === 'running')
  const { done = 0, total = 0, preview } = job?.progress ?? {}
  const spent = job?.started && done > 0 ? (Date.now() - job.started) / 1000 : 0
  const shows = preview && c.req.query('skip_current_image') !== 'true'
  return {
    progress: total > 0 ? done / total : 0,
    eta_relative: done > 0 ? (spent * (total - done)) / done : 0,
    state: {
      ...{ skipped: false, interrupted: false, stopping_generation: false, job: job?.id ?? '', job_count: jobs.length },
      ...{
        job_timestamp: job?.started ? new Date(job.started).toISOString() : '0',
        job_no: 0,
        sampling_step: done,
        sampling_steps: total,
      },
    },
    current_image: shows ? await base64Of(api, c.get('user').name, preview) : null,
    textinfo: null,
  }
}
