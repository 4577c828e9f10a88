import OpenAI, { APIError, toFile } from 'openai'
import { beforeAll, describe, expect, test } from 'vitest'
import { decodePixels, encodePng, formatOf, readSettings } from '../../src/images/index.ts'
import { NdArray } from '../../src/runtime/ndarray.ts'
import { KEY, until } from './process.ts'
import { served } from './shared.ts'

// OpenAI's own client against a server process: what it sends, what it makes of answers, errors and streams.

let client: OpenAI
beforeAll(() => {
  client = new OpenAI({ baseURL: `${served.url}/v1`, apiKey: KEY, maxRetries: 0 })
})

/** A request that takes few steps; what is langevin's own is passed through by the client. */
const asked = (more: object = {}) =>
  ({
    model: 'stickers-t2i',
    prompt: 'a red fox',
    num_inference_steps: 2,
    seed: 7,
    ...more,
  }) as unknown as OpenAI.ImageGenerateParamsNonStreaming
const bytesOf = ({ b64_json }: { b64_json?: string }) => Buffer.from(b64_json ?? '', 'base64')
const failure = (work: Promise<unknown>): Promise<APIError> =>
  work.then(
    () => Promise.reject(new Error('expected an error')),
    (error) => (error instanceof APIError ? error : Promise.reject(error)),
  )

describe('generations', () => {
  test('pictures of a prompt: n of them, of seeds one after another, with their settings inside', async () => {
    const { data = [], created, ...facts } = await client.images.generate(asked({ n: 2 }))
    expect(data).toHaveLength(2)
    expect(Math.abs(created - Date.now() / 1000)).toBeLessThan(60)
    expect(facts).toEqual({ background: 'opaque', output_format: 'png', quality: 'auto', size: '64x64' })
    expect((await decodePixels(bytesOf(data[1]!))).shape).toEqual([64, 64, 3])
    expect(await readSettings(bytesOf(data[1]!))).toMatchObject({
      prompt: 'a red fox',
      settings: { Steps: '2', Seed: '8', Model: 'stickers-t2i' },
    })
    // The second of them is what its seed gives alone; nulls are as if they were not there, and the alias is the model.
    const alone = await client.images.generate(
      asked({ model: 'gpt-image-1', seed: 8, size: null, n: null, quality: null, guidance_scale: null }),
    )
    expect((await decodePixels(bytesOf(alone.data![0]!))).data).toEqual((await decodePixels(bytesOf(data[1]!))).data)
  })

  test.each(['png', 'jpeg', 'webp'] as const)('%s by its first bytes', async (output_format) => {
    const { data } = await client.images.generate(asked({ output_format, output_compression: 50 }))
    expect(formatOf(bytesOf(data![0]!))).toBe(output_format)
  })

  test('an address instead of the bytes holds without the key, and not once it is changed', async () => {
    const { data } = await client.images.generate(asked({ response_format: 'url' }))
    const { url = '' } = data![0]!
    const got = await fetch(url)
    expect(got.headers.get('content-type')).toBe('image/png')
    expect(formatOf(new Uint8Array(await got.arrayBuffer()))).toBe('png')
    const changed = new URL(url)
    changed.searchParams.set('owner', 'another')
    expect((await fetch(changed)).status).toBe(403)
  })

  test('without a seed, another picture each time', async () => {
    const [one, two] = await Promise.all([1, 2].map(() => client.images.generate(asked({ seed: undefined }))))
    expect(one!.data![0]!.b64_json).not.toBe(two!.data![0]!.b64_json)
  })

  test.each([
    [{ model: 'nope' }, 404, 'model_not_found', 'model'],
    [{ size: 'large' }, 400, 'invalid_value', 'size'],
    [{ size: '63x64' }, 400, 'invalid_value', 'size'],
    [{ size: '90000x90000' }, 400, 'invalid_value', 'size'],
    [{ n: 11 }, 400, 'invalid_value', 'n'],
    [{ prompt: '' }, 400, 'invalid_value', 'prompt'],
    [{ prompt: 'x'.repeat(32_001) }, 400, 'invalid_value', 'prompt'],
    [{ prompt: '('.repeat(20_000) }, 400, 'invalid_value', 'prompt'],
    [{ background: 'transparent' }, 400, 'invalid_value', 'background'],
    [{ output_format: 'gif' }, 400, 'invalid_value', 'output_format'],
    [{ model: 'ddpm-faces-32', guidance_scale: 2 }, 400, 'invalid_value', 'guidance_scale'],
    [{ options: { clipSkip: -1 } }, 400, 'invalid_value', 'clipSkip'],
    [{ options: { nothing: 1 } }, 400, 'invalid_value', 'nothing'],
    [{ stream: true, n: 2 }, 400, 'invalid_value', 'n'],
  ] as const)('%#: what the model or the server does not take is refused, by its name', async (wrong, status, code, param) => {
    const error = await failure(client.images.generate(asked(wrong)))
    expect([error.status, error.code, error.param]).toEqual([status, code, param])
    expect(error.type).toBe('invalid_request_error')
    expect(error.requestID).toMatch(/^[0-9a-f-]{36}$/)
    expect(error.headers?.get('x-should-retry')).toBe('false')
  })

  test('a model that has no prompt makes pictures too', async () => {
    const { data } = await client.images.generate(asked({ model: 'ddpm-faces-32' }))
    expect((await decodePixels(bytesOf(data![0]!))).shape).toEqual([32, 32, 3])
  })
})

describe('edits', () => {
  /** Blue all over, with these parts of it transparent. */
  const blue = (side: number, alpha: (x: number) => number) =>
    encodePng(
      new NdArray(
        Uint8Array.from({ length: side * side * 4 }, (_, i) => [20, 40, 200, alpha((i >> 2) % side)][i & 3]!),
        [side, side, 4],
        'u8',
      ),
    )
  const file = async (bytes: Uint8Array | Promise<Uint8Array>, name: string, type = 'image/png') =>
    toFile(await bytes, name, { type })
  const edit = (more: object) =>
    client.images.edit({ model: 'stickers-t2i', prompt: 'a red fox', ...more } as unknown as OpenAI.ImageEditParamsNonStreaming)

  test('what is transparent in the mask is repainted, and the rest stays', async () => {
    const { data } = await edit({
      image: await file(
        blue(64, () => 255),
        'blue.png',
      ),
      mask: await file(
        blue(64, (x) => (x < 32 ? 0 : 255)),
        'mask.png',
      ),
      ...{ num_inference_steps: 3, seed: 1, options: JSON.stringify({ paste: true }) },
    })
    const pixels = await decodePixels(bytesOf(data![0]!))
    const distance = (x: number) =>
      Math.abs(pixels.data[(40 * 64 + x) * 3]! - 20) + Math.abs(pixels.data[(40 * 64 + x) * 3 + 2]! - 200)
    expect(distance(60)).toBeLessThan(6)
    expect(distance(10)).toBeGreaterThan(30)
  })

  test('a picture alone is changed as a whole', async () => {
    const { data, size } = (await edit({
      image: [
        await file(
          blue(64, () => 255),
          'blue.png',
        ),
      ],
      strength: 0.5,
      num_inference_steps: 2,
    })) as OpenAI.ImagesResponse
    expect(size).toBe('64x64')
    expect(formatOf(bytesOf(data![0]!))).toBe('png')
  })

  test('masks of another size, pictures that are none and models that edit none are refused', async () => {
    const image = await file(
      blue(64, () => 255),
      'blue.png',
    )
    const mask = await failure(
      edit({
        image,
        mask: await file(
          blue(32, () => 0),
          'mask.png',
        ),
      }),
    )
    expect([mask.status, mask.param]).toEqual([400, 'mask'])
    const opaque = await failure(
      edit({ image, mask: await file(encodePng(new NdArray(new Uint8Array(64 * 64 * 3), [64, 64, 3], 'u8')), 'mask.png') }),
    )
    expect([opaque.status, opaque.param]).toEqual([400, 'mask'])
    for (const bytes of [
      Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'),
      (await blue(64, () => 255)).subarray(0, 200),
      new Uint8Array(0),
    ]) {
      const error = await failure(edit({ image: await file(bytes, 'x.png') }))
      expect([error.status, error.param]).toEqual([400, 'image'])
    }
    const mime = await failure(
      edit({
        image: await file(
          blue(8, () => 255),
          'x.webp',
          'image/webp',
        ),
      }),
    )
    expect([mime.status, mime.param]).toEqual([400, 'image'])
    expect((await failure(edit({ image: [image, image] }))).param).toBe('image')
    expect((await failure(edit({ image, model: 'ddpm-faces-32' }))).param).toBe('model')
    expect((await failure(client.images.createVariation({ image, model: 'stickers-t2i' as never }))).param).toBe('model')
  })
})

describe('streams', () => {
  test.each([0, 1, 3])('%i partial pictures, then the picture', async (partial_images) => {
    const stream = await client.images.generate({ ...asked({ num_inference_steps: 6 }), stream: true, partial_images })
    const seen: string[] = []
    for await (const event of stream) {
      seen.push(event.type === 'image_generation.partial_image' ? `partial ${event.partial_image_index}` : event.type)
      expect(formatOf(bytesOf(event))).toBe('png')
      expect(event).toMatchObject({ size: '64x64', quality: 'auto', background: 'opaque', output_format: 'png' })
    }
    expect(seen).toEqual([...Array.from({ length: partial_images }, (_, i) => `partial ${i}`), 'image_generation.completed'])
  })

  test('a fault in a stream is thrown', async () => {
    const stream = await client.images.generate({ ...asked({ size: '63x64' }), stream: true })
    const error = await failure(
      (async () => {
        for await (const _ of stream);
      })(),
    )
    expect(error.error).toMatchObject({ code: 'invalid_value', param: 'size' })
  })

  test('who leaves a stream stops its job within a step, and the next job is as ever', async () => {
    const stream = await client.images.generate({ ...asked({ num_inference_steps: 900 }), stream: true, partial_images: 3 })
    const running = await until(async () => {
      const { data } = (await (await served.ask('/v1/jobs?state=running')).json()) as {
        data: { id: string; progress?: { done: number } }[]
      }
      return data.find(({ progress }) => (progress?.done ?? 0) > 0)
    })
    stream.controller.abort()
    const job = await until(async () => {
      const found = (await (await served.ask(`/v1/jobs/${running.id}`)).json()) as { state: string; progress: { done: number } }
      return found.state !== 'running' && found
    })
    expect(job.state).toBe('cancelled')
    expect(job.progress.done).toBeLessThan(900)
    expect((await client.images.generate(asked())).data).toHaveLength(1)
  })
})

test('models are listed, and each has the schema of its options', async () => {
  const names: string[] = []
  for await (const { id, object } of client.models.list()) names.push(`${object} ${id}`)
  expect(names).toContain('model stickers-t2i')
  const model = (await client.models.retrieve('stickers-t2i')) as unknown as {
    options: { properties: Record<string, { type?: string }> }
  }
  expect(model.options.properties.steps).toMatchObject({ type: 'integer' })
  expect(model.options.properties.image).toMatchObject({ type: 'object', required: ['file'] })
  expect(model.options.properties).not.toHaveProperty('latents')
  expect((await failure(client.models.retrieve('nope'))).status).toBe(404)
})

test('a wrong key and none are refused', async () => {
  const wrong = await failure(
    new OpenAI({ baseURL: `${served.url}/v1`, apiKey: 'another-key', maxRetries: 0 }).images.generate(asked()),
  )
  expect([wrong.status, wrong.type, wrong.code]).toEqual([401, 'authentication_error', 'invalid_api_key'])
  const none = await fetch(`${served.url}/v1/models`)
  expect([none.status, ((await none.json()) as { error: { code: string } }).error.code]).toEqual([401, 'missing_api_key'])
})

test('pages of other origins are refused', async () => {
  for (const origin of ['https://evil.example', 'null'])
    expect((await served.ask('/v1/models', { headers: { origin } })).status).toBe(403)
  expect((await served.ask('/v1/models', { headers: { origin: served.url } })).status).toBe(200)
})

test('a full queue answers 429 with Retry-After, which the client heeds; what waited is not run once it is cancelled', async () => {
  await served.ask('/v1/queue/pause', { method: 'POST' })
  const ids = await Promise.all(
    Array.from(
      { length: 4 },
      async () =>
        (
          (await (
            await served.ask('/v1/jobs', { json: { model: 'stickers-t2i', options: { prompt: 'x', steps: 2 } } })
          ).json()) as { id: string }
        ).id,
    ),
  )
  const error = await failure(client.images.generate(asked()))
  expect([error.status, error.code, error.type]).toEqual([429, 'queue_full', 'rate_limit_error'])
  expect(Number(error.headers?.get('retry-after'))).toBeGreaterThan(0)
  const waits = new OpenAI({ baseURL: `${served.url}/v1`, apiKey: KEY, maxRetries: 4 }).images.generate(asked())
  for (const id of ids)
    expect(((await (await served.ask(`/v1/jobs/${id}/cancel`, { method: 'POST' })).json()) as { state: string }).state).toBe(
      'cancelled',
    )
  await served.ask('/v1/queue/resume', { method: 'POST' })
  expect((await waits).data).toHaveLength(1)
  for (const id of ids)
    expect(((await (await served.ask(`/v1/jobs/${id}`)).json()) as { state: string; started?: number }).started).toBeUndefined()
})
