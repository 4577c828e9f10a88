import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

export const model = 'some-org/tiny.model'
export const commit = 'a'.repeat(40)
export const big = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * 7 + (i >> 8)) & 255))
const index = { _class_name: 'DDPMPipeline', unet: ['diffusers', 'UNet2DModel'], scheduler: ['diffusers', 'DDPMScheduler'] }
export const files: Record<string, Buffer> = {
  'model_index.json': Buffer.from(JSON.stringify(index)),
  'README.md': Buffer.from('# tiny'),
  'tiny-all.ckpt': Buffer.from('pickle'),
  'scheduler/scheduler_config.json': Buffer.from('{}'),
  'unet/config.json': Buffer.from('{"a": 1}'),
  'unet/diffusion_pytorch_model.safetensors': big,
  'unet/diffusion_pytorch_model.bin': Buffer.from('pickle'),
}

export const hash = (kind: string, ...parts: (string | Buffer)[]) =>
  parts.reduce((h, part) => h.update(part), createHash(kind)).digest('hex')

interface Fake {
  readonly endpoint: string
  readonly requests: { url: string; range: string | undefined; token: string | undefined }[]
}

/** A hub of one model on this machine: what its API answers to a listing and a download. */
export async function hub(
  over: { contents?: typeof files; answer?: (request: IncomingMessage, response: ServerResponse) => boolean } = {},
): Promise<Fake> {
  const contents = over.contents ?? files
  const requests: Fake['requests'] = []
  const server = createServer((request, response) => {
    const url = decodeURIComponent((request.url as string).split('?')[0] as string)
    requests.push({ url, range: request.headers.range, token: request.headers.authorization })
    if (over.answer?.(request, response)) return
    const json = (value: unknown) => response.setHeader('content-type', 'application/json').end(JSON.stringify(value))
    if (url === `/api/models/${model}/revision/main` || url === `/api/models/${model}/revision/refs/pr/1`)
      return json({ _id: '1', id: model, sha: commit, lastModified: '2026-01-01' })
    if ([commit, 'main'].some((revision) => url === `/api/models/${model}/tree/${revision}`)) {
      return json(
        Object.entries(contents).map(([path, bytes]) => ({
          type: 'file',
          path,
          size: bytes.length,
          oid: hash('sha1', `blob ${bytes.length}\0`, bytes),
          ...(bytes.length > 1e6 && { lfs: { oid: hash('sha256', bytes), size: bytes.length, pointerSize: 130 } }),
        })),
      )
    }
    const bytes = contents[url.replace(`/${model}/resolve/${commit}/`, '')]
    if (!bytes) return response.writeHead(404, { 'x-error-code': 'EntryNotFound' }).end()
    const [from, to] = (/bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '') ?? []).slice(1)
    const [start, end] = [Number(from ?? 0), to ? Number(to) + 1 : bytes.length]
    const range = from === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` }
    response.writeHead(from === undefined ? 200 : 206, { etag: '"x"', 'content-length': end - start, ...range })
    response.end(bytes.subarray(start, end))
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests }
}
