import { generateImage } from 'ai'
import { describe, expect, test } from 'vitest'
import { createLangevin } from '../../src/ai-sdk/index.ts'
import { decodePixels, encodePng, formatOf, readPictureText } from '../../src/images/index.ts'
import { NdArray } from '../../src/runtime/ndarray.ts'
import { openApi, routes } from '../../src/server/openapi.ts'
import { KEY, until } from './process.ts'
import { served } from './shared.ts'

// The Vercel AI SDK, clients of AUTOMATIC1111's web UI and of Hugging Face, and a studio's requests, against one server process.

const json = async <T>(answer: Response | Promise<Response>): Promise<T> => (await (await answer).json()) as T
const grey = (side: number) => encodePng(new NdArray(new Uint8Array(side * side * 3).fill(128), [side, side, 3], 'u8'))
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')

describe('the Vercel AI SDK', () => {
  test('pictures of a server and of this process, the same for a seed', async () => {
    const remote = createLangevin({ baseURL: `${served.url}/v1`, apiKey: KEY })
    const call = { prompt: 'a red fox', seed: 3, n: 2, maxRetries: 0 }
    const { images, warnings, providerMetadata } = await generateImage({
      ...{ model: remote.image('stickers-t2i'), ...call, aspectRatio: '1:1' },
      providerOptions: { langevin: { num_inference_steps: 2 } },
    })
    expect(images.map(({ mediaType }) => mediaType)).toEqual(['image/png', 'image/png'])
    expect(warnings).toMatchObject([{ type: 'unsupported', feature: 'aspectRatio' }])
    expect(providerMetadata.langevin).toEqual({ images: [{ seed: 3 }, { seed: 4 }] })
    const local = await generateImage({
      model: createLangevin()('stickers-t2i'),
      ...call,
      providerOptions: { langevin: { steps: 2 } },
    })
    for (const [i, { uint8Array }] of local.images.entries())
      expect((await decodePixels(uint8Array)).data).toEqual((await decodePixels(images[i]!.uint8Array)).data)
  })

  test('a picture to change; what a model takes; errors with what the server says', async () => {
    const model = createLangevin({ baseURL: `${served.url}/v1/`, apiKey: KEY }).imageModel('stickers-t2i')
    expect([await model.supportsFileInputs, await model.supportsMaskInputs, model.specificationVersion]).toEqual([
      true,
      true,
      'v4',
    ])
    const prompt = { images: [await grey(64)], text: 'a red fox' }
    const { image } = await generateImage({
      model,
      prompt,
      providerOptions: { langevin: { num_inference_steps: 2, strength: 0.5 } },
    })
    expect(formatOf(image.uint8Array)).toBe('png')
    const failing = generateImage({
      model: createLangevin({ baseURL: `${served.url}/v1`, apiKey: KEY }).image('nope'),
      prompt: 'x',
      maxRetries: 0,
    })
    await expect(failing).rejects.toMatchObject({ statusCode: 404, isRetryable: false, message: expect.stringContaining('nope') })
  })
})

describe('AUTOMATIC1111’s clients', () => {
  const post = <T>(path: string, body: object) => json<T>(served.ask(`/sdapi/v1/${path}`, { json: body }))
  const basic = { authorization: `Basic ${Buffer.from(`user:${KEY}`).toString('base64')}` }

  test('txt2img by a sampler’s name, and the settings in the picture', async () => {
    const asked = {
      prompt: 'a red fox',
      negative_prompt: 'a frog',
      steps: 2,
      cfg_scale: 2,
      seed: 5,
      sampler_name: 'Euler',
      scheduler: 'Karras',
      batch_size: 2,
      restore_faces: null,
      alwayson_scripts: {},
    }
    const { images, info, parameters } = await post<{ images: string[]; info: string; parameters: object }>('txt2img', asked)
    expect(images).toHaveLength(2)
    expect(JSON.parse(info)).toMatchObject({
      seed: 5,
      all_seeds: [5, 6],
      width: 64,
      height: 64,
      steps: 2,
      cfg_scale: 2,
      prompt: 'a red fox',
    })
    expect(parameters).toMatchObject({ steps: 2 })
    const { info: text } = await post<{ info: string }>('png-info', { image: `data:image/png;base64,${images[0]}` })
    expect(text).toBe(readPictureText(Buffer.from(images[0]!, 'base64')).get('parameters'))
    expect(text).toMatch(
      /^a red fox\nNegative prompt: a frog\nSteps: 2, Sampler: .*Euler.*CFG scale: 2, Seed: 5, Size: 64x64, Model: stickers-t2i/,
    )
  })

  test('img2img with a mask, and a larger picture', async () => {
    const picture = base64(await grey(64))
    const mask = base64(
      await encodePng(
        new NdArray(
          Uint8Array.from({ length: 64 * 64 }, (_, i) => (i % 64 < 32 ? 255 : 0)),
          [64, 64, 1],
          'u8',
        ),
      ),
    )
    const { images } = await post<{ images: string[] }>('img2img', {
      init_images: [picture],
      mask,
      prompt: 'a red fox',
      steps: 3,
      denoising_strength: 0.9,
      mask_blur: 0,
    })
    const { data } = await decodePixels(Buffer.from(images[0]!, 'base64'))
    // White was repainted, black is as it was.
    expect(Math.abs(data[(30 * 64 + 60) * 3]! - 128)).toBeLessThan(3)
    const { image } = await post<{ image: string }>('extra-single-image', {
      image: picture,
      upscaling_resize: 2,
      upscaler_1: 'Lanczos',
    })
    expect((await decodePixels(Buffer.from(image, 'base64'))).shape).toEqual([128, 128, 3])
  })

  test('progress with a preview while it runs, and interrupt, which gives what it had come to', async () => {
    const running = post<{ images: string[] }>('txt2img', { prompt: 'a red fox', steps: 900 })
    const progress = await until(async () => {
      const found = await json<{ progress: number; current_image: string | null; state: { sampling_steps: number } }>(
        served.ask('/sdapi/v1/progress', { headers: basic }),
      )
      return found.current_image !== null && found
    }, 60_000)
    expect(progress.progress).toBeGreaterThan(0)
    expect(progress.progress).toBeLessThan(1)
    expect(progress.state.sampling_steps).toBe(900)
    expect(formatOf(Buffer.from(progress.current_image!, 'base64'))).toBe('webp')
    await post('interrupt', {})
    expect((await running).images).toHaveLength(1)
  })

  test('menus, the model that is chosen, and errors in its shape', async () => {
    const names = async (path: string, field: string) =>
      (await json<Record<string, string>[]>(served.ask(`/sdapi/v1/${path}`))).map((one) => one[field])
    expect(await names('samplers', 'name')).toContain('DPM++ 2M')
    expect(await names('sd-models', 'title')).toContain('stickers-t2i')
    expect(await names('upscalers', 'name')).toContain('lanczos')
    await post('options', { sd_model_checkpoint: 'ddpm-faces-32.safetensors [abc123]' })
    expect(await json(served.ask('/sdapi/v1/options'))).toMatchObject({ sd_model_checkpoint: 'ddpm-faces-32' })
    await post('options', { sd_model_checkpoint: 'stickers-t2i' })
    expect(await post('txt2img', { prompt: 'x', sampler_name: 'No such sampler' })).toMatchObject({
      error: 'HTTPException',
      detail: expect.stringContaining('No such sampler'),
    })
  })
})

test('Hugging Face’s text-to-image gives bytes of the type that is asked for', async () => {
  const inputs = {
    inputs: 'a red fox',
    parameters: { num_inference_steps: 2, guidance_scale: 2, seed: 1, negative_prompt: null },
  }
  const answer = await served.ask('/hf-inference/models/stickers-t2i', { json: inputs, headers: { accept: 'image/jpeg' } })
  expect(answer.headers.get('content-type')).toBe('image/jpeg')
  expect(formatOf(new Uint8Array(await answer.arrayBuffer()))).toBe('jpeg')
  expect(await json(served.ask('/models/no/such', { json: inputs }))).toEqual({ error: expect.stringContaining('no/such') })
})

test('a larger picture, from a form and from JSON', async () => {
  const form = new FormData()
  form.append('image', new Blob([new Uint8Array(await grey(16))]), 'grey.png')
  form.append('scale', '3')
  const { size, data } = await json<{ size: string; data: { b64_json: string }[] }>(
    served.ask('/v1/upscale', { method: 'POST', body: form }),
  )
  expect([size, formatOf(Buffer.from(data[0]!.b64_json, 'base64'))]).toEqual(['48x48', 'png'])
  expect(
    await json(served.ask('/v1/upscale', { json: { image: base64(await grey(16)), response_format: 'url' } })),
  ).toMatchObject({ size: '64x64', data: [{ url: expect.stringContaining('signature=') }] })
})

test('texts of a model that makes text; no model here makes films', async () => {
  const made = await json<{ model: string; texts: string[] }>(
    served.ask('/v1/text', { json: { options: { prompt: 'a', length: 4, raw: true, seed: 1 } } }),
  )
  expect([made.model, made.texts.length]).toEqual(['llada', 1])
  expect(made.texts[0]).toMatch(/./)
  const video = await served.ask('/v1/videos', { json: { prompt: 'a fox' } })
  expect([video.status, (await json<{ error: { param: string } }>(video)).error.param]).toEqual([404, 'model'])
})

describe('a studio', () => {
  test('uploads a picture, makes a job of it, follows it, and forgets it', async () => {
    const picture = await json<{ id: string; width: number; url: string }>(
      served.ask('/v1/files', { method: 'POST', body: new Uint8Array(await grey(64)), headers: { 'content-type': 'image/png' } }),
    )
    expect(picture.width).toBe(64)
    const options = { prompt: 'a red fox', image: { file: picture.id }, strength: 0.8, steps: 6 }
    const asked = { model: 'stickers-t2i', options, previews: { count: 2 }, output: { format: 'webp' }, metadata: { page: '1' } }
    const posted = await served.ask('/v1/jobs', { json: asked, headers: { 'idempotency-key': 'studio' } })
    expect(posted.status).toBe(202)
    const { id } = await json<{ id: string }>(posted)
    expect(await json(served.ask('/v1/jobs', { json: asked, headers: { 'idempotency-key': 'studio' } }))).toMatchObject({ id })
    expect(
      (await served.ask('/v1/jobs', { json: { ...asked, output: {} }, headers: { 'idempotency-key': 'studio' } })).status,
    ).toBe(409)
    const seen: [string, Record<string, unknown>][] = []
    const events = await (await served.ask(`/v1/jobs/${id}/events`)).text()
    for (const [, name, data] of events.matchAll(/event: (\w+)\ndata: (.*)\n/g)) seen.push([name!, JSON.parse(data!)])
    expect(seen.at(-1)![0]).toBe('completed')
    const job = seen.at(-1)![1] as {
      result: { files: { url: string; type: string; seed: number }[] }
      metadata: object
      state: string
    }
    expect(job).toMatchObject({
      state: 'completed',
      metadata: { page: '1' },
      model: 'stickers-t2i',
      result: { files: [{ type: 'image/webp' }] },
    })
    const got = await fetch(`${served.url}${job.result.files[0]!.url}`)
    expect(formatOf(new Uint8Array(await got.arrayBuffer()))).toBe('webp')
    // Whatever a file holds, a browser runs nothing of it.
    expect(got.headers.get('x-content-type-options')).toBe('nosniff')
    expect(got.headers.get('content-security-policy')).toContain("default-src 'none'")
    const previews = seen.flatMap(
      ([, { progress }]) => (progress as { preview?: { index: number; url: string } } | undefined)?.preview ?? [],
    )
    expect(Math.max(...previews.map(({ index }) => index))).toBe(1)
    expect((await served.ask(`/v1/jobs/${id}`, { method: 'DELETE' })).status).toBe(200)
    expect((await served.ask(`/v1/jobs/${id}`)).status).toBe(404)
  })

  test.each([
    ['a field that is not there', { model: 'stickers-t2i', option: {} }, 400],
    ['an option of another model', { model: 'ddpm-faces-32', options: { prompt: 'x' } }, 400],
    ['a file that is not a reference', { options: { prompt: 'x', image: 'https://169.254.169.254/x.png' } }, 400],
    ['a file that is not there', { options: { prompt: 'x', image: { file: 'a'.repeat(64) } } }, 202],
    ['ten thousand pictures', { options: { prompt: 'x', num: 10_000 } }, 400],
  ])('%s', async (_, body, status) => {
    const answer = await served.ask('/v1/jobs', { json: body })
    expect(answer.status).toBe(status)
    if (status !== 202) return
    const { id } = await json<{ id: string }>(answer)
    const job = await until(async () => {
      const found = await json<{ state: string; error?: object }>(served.ask(`/v1/jobs/${id}`))
      return found.state === 'failed' && found
    })
    expect(job.error).toMatchObject({ fault: 'invalid_options', param: 'image' })
  })
})

describe('what no client sends', () => {
  test.each([
    ['an address for a picture', '/sdapi/v1/img2img', { init_images: ['http://169.254.169.254/latest'], prompt: 'x' }, 400],
    ['a file of the server for a picture', '/v1/upscale', { image: 'file:///etc/passwd' }, 400],
    ['what is no base64', '/v1/upscale', { image: '<script>' }, 400],
  ])('%s is refused', async (_, path, body, status) => expect((await served.ask(path, { json: body })).status).toBe(status))

  test('bodies that are too long, of another type, or none', async () => {
    const send = (body: string, type = 'application/json') =>
      served.ask('/v1/images/generations', { method: 'POST', body, headers: { 'content-type': type } })
    const began = performance.now()
    expect((await send(JSON.stringify({ prompt: 'x'.repeat(2 ** 21) }))).status).toBe(413)
    expect((await send('{"prompt":')).status).toBe(400)
    expect((await send('['.repeat(100_000))).status).toBe(400)
    expect((await send('a=b', 'application/x-www-form-urlencoded')).status).toBe(415)
    expect(
      (
        await served.ask('/v1/images/edits', {
          method: 'POST',
          body: 'x',
          headers: { 'content-type': 'multipart/form-data; boundary=b' },
        })
      ).status,
    ).toBe(400)
    expect(performance.now() - began).toBeLessThan(5000)
    expect((await served.ask('/v1/nothing')).status).toBe(404)
  })
})

test('every route is in the document, and nothing else', async () => {
  const document = await json<{ openapi: string; paths: Record<string, object> }>(fetch(`${served.url}/openapi.json`))
  expect(document.openapi).toBe('3.1.0')
  expect(document).toEqual(JSON.parse(JSON.stringify(openApi())))
  const answered = Object.keys(routes).filter((route) => !/PATCH|DELETE|videos|refresh/.test(route))
  for (const route of answered) {
    const [method = '', path = ''] = route.split(' ')
    if (method !== 'GET' || /events/.test(path)) continue
    const { status } = await served.ask(path.replace(/\{\w+\}/g, 'x'))
    // An id that is not there has another message than a path that is not.
    if (status === 404) expect(await (await served.ask(path.replace(/\{\w+\}/g, 'x'))).text()).not.toContain('openapi.json')
  }
  const metrics = await (await served.ask('/metrics')).text()
  expect(metrics).toMatch(/langevin_jobs\{state="completed"\} [1-9]/)
  expect(metrics).toContain('langevin_http_request_seconds_bucket')
})
