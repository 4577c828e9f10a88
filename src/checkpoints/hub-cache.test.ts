import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../../tests/checkpoints.ts'
import { big, commit, files, hash, hub, model } from '../../tests/fake-hub.ts'
import { fetchModel, HubError, type HubProgress, pullModel, resolveLora, resolveModel } from './hub.ts'

const weights = 'unet/diffusion_pytorch_model.safetensors'
const sum = hash('sha256', big)
const homeIn = (cache: string) => join(cache, 'models--some-org--tiny.model')
const blobs = (cache: string) => readdirSync(join(homeIn(cache), 'blobs'))

/** Sends the weights slowly, so that downloads overlap. */
const slowly = (request: IncomingMessage, response: ServerResponse): boolean => {
  if (!request.url?.endsWith(weights)) return false
  const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
  const range = request.headers.range === undefined ? {} : { 'content-range': `bytes ${from}-${big.length - 1}/${big.length}` }
  response.writeHead(request.headers.range === undefined ? 200 : 206, {
    etag: '"x"',
    'content-length': big.length - from,
    ...range,
  })
  let at = from
  const next = () => {
    if (at >= big.length) return response.end()
    response.write(big.subarray(at, at + 300_000))
    at += 300_000
    setTimeout(next, 15)
  }
  next()
  return true
}

test('calls and processes that fetch one model at once all get it, and leave one good blob', async () => {
  const cache = temporaryFolder()
  const { endpoint } = await hub({ answer: slowly })
  const program = `import { fetchModel } from ${JSON.stringify(new URL('./hub.ts', import.meta.url).href)}
    fetchModel(${JSON.stringify(model)}, ${JSON.stringify({ endpoint, cache })}).then(console.log, (e) => { console.error(e); process.exit(1) })`
  const others = [1, 2].map(
    () =>
      new Promise<string>((resolve, reject) => {
        const child = spawn(process.execPath, ['--input-type=module', '-e', program])
        let out = ''
        let error = ''
        child.stdout.on('data', (data) => {
          out += data
        })
        child.stderr.on('data', (data) => {
          error += data
        })
        child.on('exit', (code) => (code === 0 ? resolve(out.trim()) : reject(new Error(error))))
      }),
  )
  const found = await Promise.all([fetchModel(model, { endpoint, cache }), fetchModel(model, { endpoint, cache }), ...others])
  expect(new Set(found)).toEqual(new Set([join(homeIn(cache), 'snapshots', commit)]))
  expect(readFileSync(join(found[0] as string, weights)).equals(big)).toBe(true)
  expect(blobs(cache).filter((name) => name.includes('.'))).toEqual([])
})

test('a blob of a wrong length, as two downloads at once once left it, is fetched anew', async () => {
  const cache = temporaryFolder()
  const { endpoint } = await hub()
  const path = await fetchModel(model, { endpoint, cache })
  truncateSync(join(homeIn(cache), 'blobs', sum), big.length + 5)
  await fetchModel(model, { endpoint, cache })
  expect(readFileSync(join(path, weights)).equals(big)).toBe(true)
})

test('a part that Python or a killed process left is gone on from, and another process’s own is let be', async () => {
  const host = createHash('sha1').update(hostname()).digest('hex').slice(0, 8)
  const uuid = '00000000-0000-0000-0000-000000000000'
  for (const [name, at] of [
    [`${sum}.incomplete`, 1000],
    [`${sum}.${host}-4194303-${uuid}.incomplete`, 1000],
    [`${sum}.${host}-${process.ppid}-${uuid}.incomplete`, 0],
    [`${sum}.00000000-1-${uuid}.incomplete`, 0],
  ] as const) {
    const cache = temporaryFolder()
    const { endpoint, requests } = await hub()
    mkdirSync(join(homeIn(cache), 'blobs'), { recursive: true })
    writeFileSync(join(homeIn(cache), 'blobs', name), big.subarray(0, 1000))
    const path = await fetchModel(model, { endpoint, cache })
    expect(readFileSync(join(path, weights)).equals(big), name).toBe(true)
    expect(requests.at(-1)?.range ?? `bytes=0-`, name).toMatch(new RegExp(`^bytes=${at}-`))
    expect(existsSync(join(homeIn(cache), 'blobs', name)), name).toBe(at === 0)
  }
})

test('refs/pr/1 is a revision', async () => {
  const cache = temporaryFolder()
  const { endpoint } = await hub()
  const { path } = await resolveModel(`${model}@refs/pr/1`, { endpoint, cache })
  expect(readFileSync(join(homeIn(cache), 'refs', 'refs', 'pr', '1'), 'utf8')).toBe(commit)
  expect(await fetchModel(model, { cache, revision: 'refs/pr/1', offline: true })).toBe(path)
  const file = await resolveModel(`${model}@refs/pr/1/unet/config.json`, { endpoint, cache })
  expect(file.path).toBe(join(path, 'unet/config.json'))
})

test('a snapshot that was not downloaded whole does not serve offline', async () => {
  const { endpoint } = await hub()
  for (const [lost, message] of [
    ['unet/config.json', 'lacks unet/config.json'],
    [weights, 'lacks weights in unet'],
    ['scheduler', 'lacks scheduler'],
    ['model_index.json', 'lacks model_index.json'],
  ] as const) {
    const cache = temporaryFolder()
    const path = await fetchModel(model, { endpoint, cache })
    rmSync(join(path, lost), { recursive: true })
    await expect(fetchModel(model, { cache, offline: true }), lost).rejects.toThrow(message)
    await expect(fetchModel(model, { cache, endpoint: 'http://127.0.0.1:9' }), lost).rejects.toThrow('cannot be reached')
  }
  // A link without its blob is no file.
  const cache = temporaryFolder()
  await fetchModel(model, { endpoint, cache })
  rmSync(join(homeIn(cache), 'blobs', sum))
  await expect(fetchModel(model, { cache, offline: true })).rejects.toThrow('lacks weights in unet')
})

test('a signal stops a download at once, and the next call goes on', async () => {
  const cache = temporaryFolder()
  const { endpoint, requests } = await hub({ answer: slowly })
  const stop = new AbortController()
  const stopped = fetchModel(model, {
    endpoint,
    cache,
    signal: stop.signal,
    onProgress: ({ file, done }) => file === weights && done > 500_000 && stop.abort(),
  })
  expect(await stopped.catch((e: unknown) => e)).toBe(stop.signal.reason)
  const [part] = blobs(cache).filter((name) => name.includes('.'))
  expect(part).toBe(`${sum}.incomplete`)
  const done = readFileSync(join(homeIn(cache), 'blobs', part as string)).length
  expect(done).toBeGreaterThan(500_000)
  expect(done).toBeLessThan(big.length)
  await fetchModel(model, { endpoint, cache })
  expect(requests.at(-1)?.range).toBe(`bytes=${done}-${big.length - 1}`)
  await expect(fetchModel(model, { endpoint, cache, signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no')
})

test('a fault of the disk is a HubError that names it', async () => {
  const cache = join(temporaryFolder(), 'file')
  writeFileSync(cache, '')
  const { endpoint } = await hub()
  const error = await fetchModel(model, { endpoint, cache }).catch((e: unknown) => e)
  expect(error).toBeInstanceOf(HubError)
  expect((error as Error).message).toMatch(/the cache cannot be read or written: E/)
})

test('a repository that has only a variant names it', async () => {
  const fp16 = Object.fromEntries(
    Object.entries(files).map(([name, bytes]) => [name.replace('model.safe', 'model.fp16.safe'), bytes]),
  )
  const { endpoint } = await hub({ contents: fp16 })
  await expect(fetchModel(model, { endpoint, cache: temporaryFolder() })).rejects.toThrow(
    `no safetensors in unet: only the variant "fp16": ask for it (variant: "fp16"; --variant fp16)`,
  )
  const cache = temporaryFolder()
  await fetchModel(model, { endpoint, cache, variant: 'fp16' })
  await fetchModel(model, { cache, variant: 'fp16', offline: true })
})

test('pullModel goes on by itself after a cut, tells how far it is, and mends what is damaged in the cache', async () => {
  const cache = temporaryFolder()
  let cuts = 2
  const { endpoint, requests } = await hub({
    answer: (request, response) => {
      if (!request.url?.endsWith(weights) || cuts-- <= 0) return false
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
      response
        .writeHead(206, {
          etag: '"x"',
          'content-length': big.length - from,
          'content-range': `bytes ${from}-${big.length - 1}/${big.length}`,
        })
        .write(big.subarray(from, from + 700_000), () => setTimeout(() => response.destroy(), 30))
      return true
    },
  })
  const seen: HubProgress[] = []
  const pulled = await pullModel(model, { endpoint, cache, onProgress: (progress) => seen.push(progress) })
  const wanted = ['model_index.json', 'scheduler/scheduler_config.json', 'unet/config.json', weights]
  const total = wanted.reduce((sum, name) => sum + (files[name]?.length as number), 0)
  expect(pulled).toEqual({ kind: 'folder', path: join(homeIn(cache), 'snapshots', commit), commit, files: wanted, bytes: total })
  expect(seen.at(-1)).toEqual({
    file: weights,
    done: big.length,
    total: big.length,
    index: 4,
    count: 4,
    allDone: total,
    allTotal: total,
  })
  for (const [i, { allDone }] of seen.entries()) expect(allDone).toBeLessThanOrEqual(seen[i]?.allTotal as number)
  // Same length, other bytes: fetchModel trusts them, pullModel does not.
  const blob = join(homeIn(cache), 'blobs', sum)
  const damaged = Buffer.from(big)
  damaged[5] = (damaged[5] as number) ^ 1
  writeFileSync(blob, damaged)
  const before = requests.length
  await pullModel(model, { endpoint, cache })
  expect(requests.slice(before).filter(({ url }) => url.includes('/resolve/')).length).toBeGreaterThan(0)
  expect(readFileSync(join(pulled.path, weights)).equals(big)).toBe(true)
  expect(await pullModel(`${model}/${weights}`, { endpoint, cache })).toMatchObject({ kind: 'file', files: [weights] })
  await expect(pullModel(model, { endpoint: 'http://127.0.0.1:9', cache, retries: 0 })).rejects.toThrow('cannot be reached')
})

test('a LoRA comes by its name on the hub: the usual file, or the only one', async () => {
  const usual = 'pytorch_lora_weights.safetensors'
  for (const [contents, expected] of [
    [{ [usual]: big, 'other.safetensors': big }, usual],
    [{ 'mine.safetensors': big, 'README.md': Buffer.from('') }, 'mine.safetensors'],
  ] as const) {
    const cache = temporaryFolder()
    const { endpoint } = await hub({ contents: contents as Record<string, Buffer> })
    const path = await resolveLora(model, { endpoint, cache })
    expect(path).toBe(join(homeIn(cache), 'snapshots', commit, expected))
    expect(await resolveLora(model, { cache, offline: true }).catch((e) => e.message)).toMatch(
      expected === usual ? path : 'lacks',
    )
    expect(await resolveLora(`${model}/${expected}`, { cache, offline: true })).toBe(path)
    expect(await resolveLora(path)).toBe(path)
  }
  const { endpoint } = await hub({ contents: { 'a.safetensors': big, 'b.safetensors': big } })
  await expect(resolveLora(model, { endpoint, cache: temporaryFolder() })).rejects.toThrow(
    'ask for one, as some-org/tiny.model/a.safetensors',
  )
  await expect(resolveLora(temporaryFolder())).rejects.toThrow('give the file itself')
})
