import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { filesAt, filesOnHub } from './listing.ts'

let server: Server | undefined
afterEach(() => server?.close())

/** Answers by path, on this machine alone. */
async function serving(answers: Readonly<Record<string, unknown>>, headers: Record<string, string> = {}): Promise<string> {
  server = createServer(({ url = '' }, response) => {
    const found = answers[url]
    if (found === undefined) response.writeHead(404).end()
    else response.writeHead(200, url.endsWith('recursive=true') ? headers : {}).end(JSON.stringify(found))
  })
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const sum = 'a'.repeat(64)

test('a served folder’s files are those of its listing, beside it', async () => {
  const base = await serving({ '/m/files.json': { 'unet/config.json': { bytes: 3, sha256: sum } } })
  const expected = [{ path: 'unet/config.json', url: `${base}/m/unet/config.json`, bytes: 3, sha256: sum }]
  expect(await filesAt('/m', `${base}/page/`)).toEqual(expected)
  expect(await filesAt('../m/', `${base}/page/`)).toEqual(expected)
})

test.each([
  [{ '../x': { bytes: 1 } }, 'does not stay in its folder'],
  [{ x: { bytes: -1 } }, 'is no listing'],
  [[], 'is no listing'],
])('a listing that is none is refused: %j', async (listing, reason) => {
  const base = await serving({ '/m/files.json': listing })
  await expect(filesAt('/m', base)).rejects.toThrow(reason)
})

test('of a hub’s model what it is run from is fetched, with the checksums of its large files, page by page', async () => {
  const file = (path: string, size: number, oid?: string) => ({ type: 'file', path, size, ...(oid && { lfs: { oid, size } }) })
  const answers: Record<string, unknown> = {
    '/api/models/org/name/tree/v1?recursive=true': [
      file('model_index.json', 9),
      file('README.md', 5),
      { type: 'directory', path: 'unet', size: 0 },
    ],
    '/next': [
      file('unet/config.json', 2),
      file('unet/diffusion_pytorch_model.safetensors', 135, sum),
      file('unet/diffusion_pytorch_model.bin', 7),
    ],
    '/org/name/resolve/v1/model_index.json': { _class_name: 'DDPMPipeline', unet: ['diffusers', 'UNet2DModel'] },
  }
  const link: Record<string, string> = {}
  const endpoint = await serving(answers, link)
  link.link = `<${endpoint}/next>; rel="next"`
  const files = await filesOnHub({ hub: 'org/name', revision: 'v1', endpoint })
  expect(files.map(({ path, bytes, sha256 }) => [path, bytes, sha256])).toEqual([
    ['model_index.json', 9, undefined],
    ['unet/config.json', 2, undefined],
    ['unet/diffusion_pytorch_model.safetensors', 135, sum],
  ])
  expect(files[1]?.url).toBe(`${endpoint}/org/name/resolve/v1/unet/config.json`)
})

test('what the server answers is told', async () => {
  const endpoint = await serving({})
  await expect(filesOnHub({ hub: 'org/none', endpoint })).rejects.toThrow('answered 404')
  await expect(filesAt('/m', endpoint)).rejects.toThrow('/m/files.json answered 404')
})
