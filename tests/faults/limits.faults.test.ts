import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { type ClientRequest, get, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadConfig, openSafetensors, saveModel } from '../../src/checkpoints/index.ts'
import { NdArray } from '../../src/runtime/ndarray.ts'
import { KEY, type Served, startServe, until } from '../serve/process.ts'
import { accepted, brokenFiles, flags, over, shownJob, small } from './jobs.ts'
import { partsOf, residentBytes } from './processes.ts'

// Bad numbers, a full disk, too little memory, readers that read nothing, foreign names: faults 8, 9, 10, 19, 20 and 26.

const desk = mkdtempSync(join(tmpdir(), 'langevin-faults-'))
const broken = join(desk, 'broken')
const bias = 'decoder.conv_out.bias'
const none = (shape: readonly number[]) => NdArray.full(shape, Number.NaN)
let served: Served

beforeAll(async () => {
  cpSync(small, broken, { recursive: true })
  const vae = join(broken, 'vae')
  const { tensors } = openSafetensors(join(vae, 'diffusion_pytorch_model.safetensors'))
  saveModel(
    vae,
    loadConfig(vae),
    [...tensors].map(([key, tensor]) => [key, key === bias ? none(tensor.shape) : tensor]),
  )
  served = await startServe(['--models', broken, ...flags])
})
afterAll(async () => {
  await served?.stop()
  rmSync(desk, { recursive: true, force: true })
})

const ended = (id: string, of = served) =>
  until(async () => {
    const job = await shownJob(of, id)
    return job && over(job) && job
  }, 60_000)

test('numbers that are none give an error and no picture, and the next job is as ever', async () => {
  const job = await ended(await accepted(() => served, { seed: 1 }, { model: 'broken' }))
  expect(job).toMatchObject({ state: 'failed', error: { fault: 'not_finite' } })
  expect(job.result).toBeUndefined()
  expect(await ended(await accepted(() => served, { seed: 1 }))).toMatchObject({ state: 'completed' })
})

test.skipIf(spawnSync('prlimit', ['--version']).status !== 0)(
  'a picture for which there is no memory gives an error that is not worth a retry; a small one after it is drawn',
  async () => {
    expect(await ended(await accepted(() => served, { seed: 1 }))).toMatchObject({ state: 'completed' })
    const [models] = partsOf(served.child.pid as number, 'models')
    const [, taken] = /^VmSize:\s+(\d+) kB/m.exec(readFileSync(`/proc/${models?.pid}/status`, 'utf8')) ?? []
    const limit = (bytes: string) => expect(spawnSync('prlimit', ['--pid', String(models?.pid), `--as=${bytes}`]).status).toBe(0)
    limit(`${Number(taken) * 1024 + 30e6}:unlimited`)
    const large = { model: 'sd1', prompt: 'a fox', size: '512x512', num_inference_steps: 1 }
    const answer = await served.ask('/v1/images/generations', { json: large })
    expect(await answer.json()).toMatchObject({ error: { code: 'out_of_memory' } })
    expect(answer.headers.get('x-should-retry')).toBe('false')
    expect(await ended(await accepted(() => served, { seed: 1 }))).toMatchObject({ state: 'completed' })
    limit('unlimited')
    expect(partsOf(served.child.pid as number, 'models').map(({ pid }) => pid)).toEqual([models?.pid])
  },
)

/** A file system of so many bytes; undefined where nobody may mount one. */
function smallDisk(bytes: number): string | undefined {
  const at = join(desk, 'disk')
  mkdirSync(at)
  return spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', at]).status === 0 ? at : undefined
}

test('a full disk fails the job as storage; with room again the same job is drawn, and its file is whole', async (context) => {
  const at = smallDisk(40_000)
  if (at === undefined) return context.skip('nobody may mount a small file system here')
  const full = await startServe(['--store', at, ...flags])
  try {
    spawnSync('sh', ['-c', `head -c 60000 /dev/zero > ${join(at, 'filler')}`])
    const job = await ended(await accepted(() => full, { seed: 1 }), full)
    expect(job).toMatchObject({ state: 'failed', error: { fault: 'storage' } })
    rmSync(join(at, 'filler'))
    expect((await full.ask(`/v1/jobs/${job.id}/retry`, { method: 'POST' })).status).toBe(202)
    const again = await until(async () => {
      const found = await shownJob(full, job.id)
      return found?.state === 'completed' && found
    })
    expect(await brokenFiles(full, again)).toEqual([])
  } finally {
    await full.stop()
    spawnSync('umount', [at])
  }
})

test('1,000 clients follow the queue and read nothing: memory stays bounded, and answers stay quick', async () => {
  const pid = served.child.pid as number
  const readers: ClientRequest[] = []
  const before = residentBytes(pid)
  for (let i = 0; i < 1000; i++) {
    const one = get(`${served.url}/v1/jobs/events`, { headers: { authorization: `Bearer ${KEY}` }, agent: false })
    // Paused: what comes stays in the socket, and then in the server.
    one.on('response', (answer) => answer.pause())
    one.on('error', () => {})
    readers.push(one)
    if (i % 50 === 49) await new Promise((later) => setTimeout(later, 20))
  }
  try {
    for (let seed = 0; seed < 5; seed++) await ended(await accepted(() => served, { seed, steps: 100 }))
    const began = performance.now()
    expect((await served.ask('/health')).status).toBe(200)
    const answered = performance.now() - began
    const grown = (residentBytes(pid) - before) / 1e6
    console.log(`1,000 readers: ${grown.toFixed(0)} MB more, /health in ${answered.toFixed(0)} ms`)
    expect(grown).toBeLessThan(400)
    expect(answered).toBeLessThan(1000)
  } finally {
    for (const one of readers) one.destroy()
  }
  expect(await ended(await accepted(() => served, { seed: 1 }))).toMatchObject({ state: 'completed' })
})

test('without a key, a request for another host is refused', async () => {
  const open = await startServe([], { key: '' })
  const status = await new Promise((resolve, reject) => {
    const asked = request(`${open.url}/v1/models`, { headers: { host: 'evil.example' } })
    asked.on('response', (answer) => resolve(answer.resume().statusCode))
    asked.on('error', reject)
    asked.end()
  }).finally(() => open.stop())
  expect(status).toBe(403)
})

test('an address that others reach needs a key', () => {
  const main = resolve(import.meta.dirname, '../../src/cli/main.ts')
  const env = { ...process.env, LANGEVIN_KEY: undefined }
  const args = [main, 'serve', '--host', '0.0.0.0', '--port', '0', '--data', join(desk, 'open')]
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env, timeout: 60_000 })
  expect(status).toBe(2)
  expect(stderr).toMatch(/--key/)
})
