import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { childOf, dataFolder, KEY, type Served, startServe, startWorker, until } from './process.ts'

// Machines that run short of memory and of disk, models that give no numbers, clocks that jump, and clients that are many or slow.

vi.setConfig({ testTimeout: 600_000, hookTimeout: 60_000 })

interface Job {
  readonly id: string
  readonly state: string
  readonly attempts: number
  readonly error?: { readonly fault: string; readonly message: string }
}

const open: (() => unknown)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})
async function serve(flags: readonly string[] = [], data = dataFolder()): Promise<Served> {
  const served = await startServe(flags, { data })
  open.push(() => served.stop())
  return served
}
const post = async ({ ask }: Served, body: object) => (await (await ask('/v1/jobs', { json: body })).json()) as Job
const done = (served: Served, id: string) =>
  until(async () => {
    const job = (await (await served.ask(`/v1/jobs/${id}`)).json()) as Job
    return job.state !== 'queued' && job.state !== 'running' && job
  }, 300_000)
const stickers = (options: object = {}) => ({ model: 'stickers-t2i', options: { prompt: 'a red fox', steps: 2, ...options } })
/** Bytes that a process keeps in memory. */
const memoryOf = (pid: number) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
const MB = 1e6

describe('memory', () => {
  test('a picture that there is no memory for fails by that name, is not tried again, and the next one is made', async () => {
    const served = await serve()
    expect((await done(served, (await post(served, stickers())).id)).state).toBe('completed')
    const pid = childOf(served.child.pid as number, 'models/process')
    const size = Number(/VmSize:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
    // As a small machine would: no more address space than it has, and a little.
    execFileSync('prlimit', ['--pid', String(pid), `--as=${size + 300 * MB}`])
    const answer = await served.ask('/v1/images/generations', {
      json: { prompt: 'a red fox', size: '1024x1024', num_inference_steps: 2 },
    })
    const { error } = (await answer.json()) as { error: { code: string } }
    expect([answer.status, error.code, answer.headers.get('x-should-retry')]).toEqual([500, 'out_of_memory', 'false'])
    expect((await done(served, (await post(served, stickers({ seed: 2 }))).id)).state).toBe('completed')
  })

  test('a full queue refuses thousands of requests in little time and no memory', async () => {
    const served = await serve(['--limit', '1', '--workers', '0'])
    await post(served, stickers())
    const refuse = async () => {
      const began = performance.now()
      const answer = await served.ask('/v1/images/generations', { json: { prompt: 'x'.repeat(10_000) } })
      await answer.arrayBuffer()
      return [answer.status, performance.now() - began] as const
    }
    for (let k = 0; k < 300; k++) await refuse()
    const before = memoryOf(served.child.pid as number)
    const times: number[] = []
    for (let k = 0; k < 2000; k++) {
      const [status, time] = await refuse()
      expect(status).toBe(429)
      times.push(time)
    }
    times.sort((a, b) => a - b)
    const grown = memoryOf(served.child.pid as number) - before
    console.log(
      `2,000 refused: median ${times[1000]?.toFixed(1)} ms, 95 % ${times[1900]?.toFixed(1)} ms, memory ${(grown / MB).toFixed(0)} MB`,
    )
    expect(grown).toBeLessThan(60 * MB)
  })
})

test('a network whose numbers are none gives an error and no picture', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'langevin-nan-'))
  open.push(() => rmSync(dir, { recursive: true, force: true }))
  const model = join(dir, 'broken')
  cpSync('zoo/stickers-t2i', model, { recursive: true })
  const file = join(model, 'vae/diffusion_pytorch_model.safetensors')
  const bytes = readFileSync(file)
  const header = Number(bytes.readBigUInt64LE(0))
  const { 'decoder.conv_out.bias': bias } = JSON.parse(bytes.subarray(8, 8 + header).toString()) as Record<
    string,
    { data_offsets: [number, number] }
  >
  const [from = 0, to = 0] = bias?.data_offsets ?? []
  bytes.fill(0xff, 8 + header + from, 8 + header + to)
  writeFileSync(file, bytes)
  const served = await serve(['--models', dir])
  const job = await done(served, (await post(served, { ...stickers(), model: 'broken' })).id)
  expect([job.state, job.error?.fault, job.attempts]).toEqual(['failed', 'not_finite', 1])
})

test('a disk that is full fails the job by that name, leaves nothing half written, and goes on once there is room', async () => {
  const disk = mkdtempSync(join(tmpdir(), 'langevin-disk-'))
  open.push(() => rmSync(disk, { recursive: true, force: true }))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', disk], { stdio: 'pipe' })
  } catch {
    console.log('skipped: no small disk can be mounted here')
    return
  }
  open.push(() => execFileSync('umount', ['-l', disk]))
  const served = await serve(['--store', disk])
  const filler = join(disk, 'filler')
  writeFileSync(filler, Buffer.alloc(250_000))
  const job = await done(served, (await post(served, stickers())).id)
  expect([job.state, job.error?.fault]).toEqual(['failed', 'storage'])
  const left = readdirSync(disk, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(disk, name)).isFile())
  expect(left).toEqual(['filler'])
  rmSync(filler)
  expect((await done(served, (await post(served, stickers({ seed: 1 }))).id)).state).toBe('completed')
})

test('a worker whose clock is an hour ahead, and one an hour behind: each job is run once', async () => {
  const served = await serve(['--workers', '0', '--lock', '3'])
  const dir = mkdtempSync(join(tmpdir(), 'langevin-clock-'))
  open.push(() => rmSync(dir, { recursive: true, force: true }))
  for (const [name, shift] of [
    ['ahead', 3_600_000],
    ['behind', -3_600_000],
  ] as const) {
    const file = join(dir, `${name}.mjs`)
    writeFileSync(file, `const now = Date.now; Date.now = () => now() + ${shift}`)
    const worker = await startWorker(served.data, ['--lock', '3'], { NODE_OPTIONS: `--import ${file}` })
    open.push(() => worker.stop())
  }
  const jobs = []
  for (let seed = 0; seed < 6; seed++) jobs.push(await post(served, stickers({ steps: 25, seed })))
  for (const { id } of jobs) {
    const job = await done(served, id)
    expect([job.state, job.attempts]).toEqual(['completed', 1])
  }
})

describe('clients', () => {
  test('one that reads nothing of its events costs little, however many there are', async () => {
    const served = await serve()
    const { hostname, port } = new URL(served.url)
    const slow = connect(Number(port), hostname)
    open.push(() => slow.destroy())
    slow.write(`GET /v1/jobs/events HTTP/1.1\r\nhost: ${hostname}:${port}\r\nauthorization: Bearer ${KEY}\r\n\r\n`)
    slow.pause()
    await done(served, (await post(served, stickers())).id)
    const before = memoryOf(served.child.pid as number)
    for (let seed = 0; seed < 30; seed++)
      await done(served, (await post(served, { model: 'ddpm-stickers-32', options: { steps: 30, seed } })).id)
    const grown = memoryOf(served.child.pid as number) - before
    console.log(`a reader that reads nothing over 30 jobs: ${(grown / MB).toFixed(0)} MB`)
    expect(grown).toBeLessThan(60 * MB)
    expect((await served.ask('/health')).status).toBe(200)
  })

  test('a thousand connections that say nothing keep nobody else from being answered', async () => {
    const served = await serve(['--workers', '0'])
    const { hostname, port } = new URL(served.url)
    const sockets = await Promise.all(
      Array.from({ length: 1000 }, () => {
        const socket = connect(Number(port), hostname)
        socket.on('error', () => {})
        open.push(() => socket.destroy())
        return new Promise<typeof socket>((connected) => socket.once('connect', () => connected(socket)))
      }),
    )
    // Half of them begin a request and never end it.
    for (const socket of sockets.slice(500)) socket.write('POST /v1/images/generations HTTP/1.1\r\nhost: x\r\n')
    const began = performance.now()
    expect((await served.ask('/v1/models')).status).toBe(200)
    expect(performance.now() - began).toBeLessThan(5000)
    expect(memoryOf(served.child.pid as number)).toBeLessThan(600 * MB)
  })

  test('one that sends its body a byte at a time, and one that sends too much, end alone', async () => {
    const served = await serve(['--workers', '0'])
    const large = await served
      .ask('/v1/files', { method: 'POST', body: new Uint8Array(60 * 2 ** 20), headers: { 'content-type': 'image/png' } })
      .then(({ status }) => status)
      .catch(() => 413)
    expect(large).toBe(413)
    expect((await served.ask('/health')).status).toBe(200)
  })
})

test('without a key the server answers this machine alone, and for no name that only points here', async () => {
  await expect(startServe(['--host', '0.0.0.0'], { key: '' })).rejects.toThrow(/give a --key/)
  const served = await startServe(['--workers', '0'], { key: '' })
  open.push(() => served.stop())
  const { port } = new URL(served.url)
  const statusFor = (host: string) =>
    new Promise<number>((answered) => {
      const socket = connect(Number(port), '127.0.0.1')
      socket.write(`GET /v1/models HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`)
      socket.once('data', (chunk) => answered(Number(/^HTTP\/1.1 (\d+)/.exec(chunk.toString())?.[1])))
    })
  expect(await statusFor(`127.0.0.1:${port}`)).toBe(200)
  expect(await statusFor(`localhost:${port}`)).toBe(200)
  expect(await statusFor('rebound.example')).toBe(403)
})
