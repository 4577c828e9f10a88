import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { temporaryFolder } from '../../tests/checkpoints.ts'
import { big, commit, files, hash, hub, model } from '../../tests/fake-hub.ts'
import { fetchModel, HubError, resolveModel } from './hub.ts'
import { selectFiles } from './hub-files.ts'

afterEach(() => vi.unstubAllEnvs())
const wanted = [
  'model_index.json',
  'scheduler/scheduler_config.json',
  'unet/config.json',
  'unet/diffusion_pytorch_model.safetensors',
]
const listed = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => !lstatSync(join(folder, name)).isDirectory())
    .sort()

test("only what is needed comes, into the layout of Python's cache, and nothing twice", async () => {
  const cache = temporaryFolder()
  const { endpoint, requests } = await hub()
  const { kind, path } = await resolveModel(model, { endpoint, cache })
  const home = join(cache, 'models--some-org--tiny.model')
  expect({ kind, path }).toEqual({ kind: 'folder', path: join(home, 'snapshots', commit) })
  expect(listed(path)).toEqual(wanted)
  for (const name of wanted) expect(readFileSync(join(path, name)).equals(files[name] as Buffer), name).toBe(true)
  const link = readlinkSync(join(path, 'unet/diffusion_pytorch_model.safetensors'))
  expect(link).toBe(join('..', '..', '..', 'blobs', hash('sha256', big)))
  expect(readdirSync(join(home, 'blobs')).sort()).toEqual(
    wanted
      .map((name) =>
        name.endsWith('safetensors') ? hash('sha256', big) : hash('sha1', `blob ${files[name]?.length}\0`, files[name] as Buffer),
      )
      .sort(),
  )
  expect(readFileSync(join(home, 'refs', 'main'), 'utf8')).toBe(commit)
  const before = requests.length
  await resolveModel(model, { endpoint, cache })
  expect(requests.slice(before).filter(({ url }) => url.includes('/resolve/'))).toEqual([])
})

test('a download that was cut off goes on where it stopped', async () => {
  const cache = temporaryFolder()
  let cut = true
  const { endpoint, requests } = await hub({
    answer: (request, response) => {
      if (!cut || !request.url?.endsWith('diffusion_pytorch_model.safetensors') || request.headers.range) return false
      response
        .writeHead(200, { 'content-length': big.length })
        .write(big.subarray(0, 1_200_000), () => setTimeout(() => response.destroy(), 50))
      return true
    },
  })
  const error = await fetchModel(model, { endpoint, cache }).catch((e: unknown) => e)
  expect(error).toBeInstanceOf(HubError)
  const part = join(cache, 'models--some-org--tiny.model', 'blobs', `${hash('sha256', big)}.incomplete`)
  const done = readFileSync(part).length
  expect(done).toBeGreaterThan(0)
  expect(done).toBeLessThanOrEqual(1_200_000)
  cut = false
  const progress: number[] = []
  const path = await fetchModel(model, { endpoint, cache, onProgress: (p) => progress.push(p.done) })
  expect(requests.at(-1)?.range).toBe(`bytes=${done}-${big.length - 1}`)
  expect(readFileSync(join(path, 'unet/diffusion_pytorch_model.safetensors')).equals(big)).toBe(true)
  expect(progress.at(-1)).toBe(big.length)
  expect(existsSync(part)).toBe(false)
})

test('wrong bytes are refused and removed, of large and of small files', async () => {
  for (const bad of ['unet/diffusion_pytorch_model.safetensors', 'unet/config.json']) {
    const cache = temporaryFolder()
    const { endpoint } = await hub({
      answer: (request, response) => {
        if (!request.url?.endsWith(bad)) return false
        const bytes = Buffer.from(files[bad] as Buffer)
        bytes[0] = (bytes[0] as number) ^ 1
        const [from = '0', to] = (/bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '') ?? []).slice(1)
        const end = to ? Number(to) + 1 : bytes.length
        const status = request.headers.range ? 206 : 200
        response
          .writeHead(status, { etag: '"x"', 'content-range': `bytes ${from}-${end - 1}/${bytes.length}` })
          .end(bytes.subarray(Number(from), end))
        return true
      },
    })
    await expect(fetchModel(model, { endpoint, cache })).rejects.toThrow(`${bad}: ${files[bad]?.length} bytes with checksum`)
    const home = join(cache, 'models--some-org--tiny.model')
    expect(listed(home).filter((name) => name.includes('incomplete'))).toEqual([])
    expect(existsSync(join(home, 'refs'))).toBe(false)
  }
})

test('offline, or with the hub out of reach, the cache serves; without it the error says so', async () => {
  const cache = temporaryFolder()
  const { endpoint } = await hub()
  const path = await fetchModel(model, { endpoint, cache })
  const gone = 'http://127.0.0.1:9'
  expect(await fetchModel(model, { endpoint: gone, cache })).toBe(path)
  vi.stubEnv('HF_HUB_OFFLINE', '1')
  expect(await fetchModel(model, { endpoint: gone, cache })).toBe(path)
  await expect(fetchModel('some-org/other', { endpoint, cache })).rejects.toThrow('HF_HUB_OFFLINE')
  vi.stubEnv('HF_HUB_OFFLINE', '')
  await expect(fetchModel('some-org/other', { endpoint: gone, cache })).rejects.toThrow(
    /cannot be reached: (ECONNREFUSED, nothing answers at that address|bad port)/,
  )
})

test('token, endpoint and cache come from the usual places', async () => {
  const home = temporaryFolder()
  const { endpoint, requests } = await hub()
  for (const name of [
    'HF_TOKEN',
    'HUGGING_FACE_HUB_TOKEN',
    'HF_TOKEN_PATH',
    'HF_HUB_CACHE',
    'HUGGINGFACE_HUB_CACHE',
    'HF_HUB_OFFLINE',
  ])
    vi.stubEnv(name, '')
  vi.stubEnv('HF_HOME', home)
  vi.stubEnv('HF_ENDPOINT', `${endpoint}/`)
  writeFileSync(join(home, 'token'), 'hf_file\n')
  expect(await fetchModel(model)).toBe(join(home, 'hub', 'models--some-org--tiny.model', 'snapshots', commit))
  expect(new Set(requests.map(({ token }) => token))).toEqual(new Set(['Bearer hf_file']))
  vi.stubEnv('HF_TOKEN', 'hf_env')
  vi.stubEnv('HF_HUB_CACHE', join(home, 'elsewhere'))
  expect(await fetchModel(model)).toContain('elsewhere')
  expect(requests.at(-1)?.token).toBe('Bearer hf_env')
  await expect(fetchModel(model, { token: 'secret' })).rejects.toThrow("starts with 'hf_'")
})

test('a single file, a folder and a file on the disk, and names that cannot be', async () => {
  const cache = temporaryFolder()
  const contents = { 'sub/model-x.safetensors': big, 'other.safetensors': big }
  const { endpoint } = await hub({ contents })
  const file = await resolveModel(`${model}/sub/model-x.safetensors`, { endpoint, cache })
  expect(file.kind).toBe('file')
  expect(readFileSync(file.path).equals(big)).toBe(true)
  await expect(resolveModel(model, { endpoint, cache })).rejects.toThrow(`${model}/other.safetensors`)
  await expect(resolveModel(`${model}/none.safetensors`, { endpoint, cache })).rejects.toThrow('no file "none.safetensors"')
  mkdirSync(join(cache, 'mine'))
  expect(await resolveModel(join(cache, 'mine'))).toEqual({ kind: 'folder', path: join(cache, 'mine') })
  expect(await resolveModel(file.path)).toEqual({ kind: 'file', path: file.path })
  for (const name of ['nothing', '../no-such-folder', 'a/..', 'org/name/../../x', '/etc/none/here'])
    await expect(resolveModel(name, { endpoint, cache })).rejects.toThrow(HubError)
})

test('an answer of the hub becomes one clear error', async () => {
  for (const [status, words] of [
    [401, 'set HF_TOKEN'],
    [403, 'gated'],
    [404, 'does not have it'],
    [500, 'answered 500'],
  ] as const) {
    const { endpoint } = await hub({ answer: (_, response) => Boolean(response.writeHead(status).end('{}')) })
    await expect(fetchModel(model, { endpoint, cache: temporaryFolder() })).rejects.toThrow(words)
  }
  const hostile = {
    'model_index.json': files['model_index.json'] as Buffer,
    '../../evil.json': Buffer.from('x'),
    'unet/config.json': Buffer.from('{}'),
  }
  const { endpoint } = await hub({ contents: hostile })
  const cache = temporaryFolder()
  await fetchModel(model, { endpoint, cache })
  expect(listed(cache).filter((name) => name.includes('evil'))).toEqual([])
})

test('of several sets of weights one is chosen, and pickles never', () => {
  const names = [
    'diffusion_pytorch_model.safetensors',
    'diffusion_pytorch_model.fp16.safetensors',
    'diffusion_pytorch_model.bin',
    'config.json',
  ]
  const unet = names.map((name) => `unet/${name}`)
  const shards = [
    'text/model.fp16-00001-of-00002.safetensors',
    'text/model.fp16-00002-of-00002.safetensors',
    'text/model.safetensors.index.fp16.json',
    'text/model.safetensors',
  ]
  const paths = [
    'model_index.json',
    'v1-5.safetensors',
    'x.ckpt',
    ...unet,
    ...shards,
    'safety_checker/model.safetensors',
    'onnx/model.onnx',
    'tokenizer/merges.txt',
  ]
  const components = ['unet', 'text', 'safety_checker', 'tokenizer']
  expect(selectFiles(paths, components).files).toEqual(
    [
      'model_index.json',
      'text/model.safetensors',
      'tokenizer/merges.txt',
      'unet/config.json',
      'unet/diffusion_pytorch_model.safetensors',
    ].sort(),
  )
  expect(selectFiles(paths, components, 'fp16').files).toEqual(
    [
      'model_index.json',
      ...shards.slice(0, 3),
      'tokenizer/merges.txt',
      'unet/config.json',
      'unet/diffusion_pytorch_model.fp16.safetensors',
    ].sort(),
  )
  expect(selectFiles(['model_index.json', 'unet/diffusion_pytorch_model.bin', 'unet/config.json'], ['unet']).unreadable).toEqual([
    'unet',
  ])
  expect(selectFiles(['config.json', 'model.fp16.safetensors'], undefined).unreadable).toEqual(['.'])
})
