import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { formatOf } from '../../src/images/index.ts'
import { fileId } from '../../src/jobs/store/store.ts'
import { Generator } from '../../src/runtime/random.ts'
import { childOf, dataFolder, type Served, startServe, startWorker, until } from './process.ts'

// Processes that end as a power cut ends them. What was accepted ends exactly once, and every file is whole.

vi.setConfig({ testTimeout: 600_000, hookTimeout: 60_000 })

interface Job {
  readonly id: string
  readonly state: string
  readonly attempts: number
  readonly progress?: { readonly done: number; readonly total: number }
  readonly result?: { readonly files: readonly { readonly file: string }[] }
  readonly error?: { readonly fault: string }
}

const open: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})
/** A worker that is gone is noticed after this many seconds. */
const lock = ['--lock', '2']
async function serve(flags: readonly string[] = [], data = dataFolder()): Promise<Served> {
  const served = await startServe([...lock, ...flags], { data })
  open.push(() => served.stop())
  return served
}
const post = async ({ ask }: Served, body: object): Promise<Job> => {
  const answer = await ask('/v1/jobs', { json: body })
  if (answer.status !== 202) throw new Error(`${answer.status} ${await answer.text()}`)
  return (await answer.json()) as Job
}
const get = async ({ ask }: Served, id: string) => (await (await ask(`/v1/jobs/${id}`)).json()) as Job
const stickers = (steps: number, seed = 0) => ({ model: 'stickers-t2i', options: { prompt: 'a red fox', steps, seed } })
const begun = (served: Served, id: string) => until(async () => ((await get(served, id)).progress?.done ?? 0) > 0, 120_000)
const done = (served: Served, id: string) =>
  until(async () => {
    const job = await get(served, id)
    return job.state !== 'queued' && job.state !== 'running' && job
  }, 300_000)

/** Every file of a data folder, held against the hash that is its name. @returns how many */
function wholeFiles(data: string): number {
  const folder = join(data, 'files')
  const all = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(folder, name)).isFile())
  const whole = all.filter((name) => !/\.langevin-.*\.tmp$/.test(name))
  for (const name of whole) expect(fileId(readFileSync(join(folder, name)))).toBe(/([0-9a-f]{64})\.\w+$/.exec(name)?.[1])
  return whole.length
}

describe('a process that runs a model', () => {
  test('is killed within a step: its job is run again in another, once', async () => {
    const served = await serve()
    const { id } = await post(served, stickers(60))
    await begun(served, id)
    process.kill(childOf(served.child.pid as number, 'models/process'), 'SIGKILL')
    const job = await done(served, id)
    expect([job.state, job.attempts]).toEqual(['completed', 2])
    expect(job.result?.files).toHaveLength(1)
  })

  test('is killed at every try: its job fails once, with a name for it, and the next job is as ever', async () => {
    const served = await serve()
    const { id } = await post(served, stickers(2000))
    for (let k = 0; k < 2; k++) {
      const pid = await until(() => childOf(served.child.pid as number, 'models/process', true), 60_000)
      await until(async () => (await get(served, id)).attempts > k && ((await get(served, id)).progress?.done ?? 0) > 0, 120_000)
      await new Promise((later) => setTimeout(later, 300))
      process.kill(pid, 'SIGKILL')
      await until(() => childOf(served.child.pid as number, 'models/process', true) !== pid)
    }
    const job = await done(served, id)
    expect([job.state, job.error?.fault, job.attempts]).toEqual(['failed', 'worker_killed', 2])
    expect((await done(served, (await post(served, stickers(2))).id)).state).toBe('completed')
  })
})

test('a worker is killed: another takes its job when it has given no sign of life', async () => {
  const served = await serve(['--workers', '0'])
  const first = await startWorker(served.data, lock)
  open.push(first.stop)
  const { id } = await post(served, stickers(60))
  await begun(served, id)
  const second = await startWorker(served.data, lock)
  open.push(second.stop)
  first.child.kill('SIGKILL')
  const killed = Date.now()
  await until(async () => (await get(served, id)).attempts === 2, 60_000)
  // Within the time that it may give none, and a third of it between two looks.
  expect(Date.now() - killed).toBeLessThan(10_000)
  expect((await done(served, id)).state).toBe('completed')
})

test('the server is killed: the next one goes on with what waited and with what ran, and no file is half written', async () => {
  const data = dataFolder()
  const first = await startServe(lock, { data })
  const jobs = [await post(first, stickers(40)), await post(first, stickers(3, 1)), await post(first, stickers(3, 2))]
  await begun(first, jobs[0]!.id)
  first.child.kill('SIGKILL')
  await first.ended
  const second = await serve([], data)
  for (const { id } of jobs) expect((await done(second, id)).state).toBe('completed')
  expect(wholeFiles(data)).toBe(3)
})

test('the database is killed: another takes its place, and nothing is lost', async () => {
  const served = await serve()
  const running = await post(served, stickers(40))
  await begun(served, running.id)
  const waiting = await post(served, stickers(3, 1))
  process.kill(childOf(served.child.pid as number, 'database/process'), 'SIGKILL')
  // Requests meanwhile are told to come again, or answered late; none is lost that was accepted.
  await until(async () => (await served.ask('/ready')).status === 200, 60_000)
  for (const { id } of [running, waiting]) expect((await done(served, id)).state).toBe('completed')
})

test('the database stands still for 30 s: the server says that it is not ready, then all goes on', async () => {
  const served = await serve()
  const running = await post(served, stickers(60))
  await begun(served, running.id)
  const pid = childOf(served.child.pid as number, 'database/process')
  process.kill(pid, 'SIGSTOP')
  await until(async () => (await served.ask('/ready')).status === 503, 30_000)
  await new Promise((later) => setTimeout(later, 30_000))
  process.kill(pid, 'SIGCONT')
  await until(async () => (await served.ask('/ready')).status === 200, 60_000)
  expect((await done(served, running.id)).state).toBe('completed')
  expect((await done(served, (await post(served, stickers(2, 5))).id)).state).toBe('completed')
})

test('SIGTERM: readiness is 503, no new work is taken, and what still runs at the deadline goes back into the queue', async () => {
  const data = dataFolder()
  const first = await startServe([...lock, '--drain', '1'], { data })
  const running = await post(first, stickers(3000))
  const waiting = await post(first, stickers(2, 1))
  await begun(first, running.id)
  const began = Date.now()
  first.child.kill('SIGTERM')
  await until(async () => (await first.ask('/ready')).status === 503)
  const refused = await first.ask('/v1/images/generations', { json: { prompt: 'a fox' } })
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5'])
  expect(await first.ended).toBe(0)
  expect(Date.now() - began).toBeLessThan(20_000)
  const second = await serve([], data)
  // It begins anew at once: it was handed back, and no lock had to run out.
  await until(async () => (await get(second, running.id)).state === 'running', 20_000)
  await second.ask(`/v1/jobs/${running.id}/cancel`, { method: 'POST' })
  expect((await done(second, running.id)).state).toBe('cancelled')
  expect((await done(second, waiting.id)).state).toBe('completed')
})

const JOBS = Number(process.env.LANGEVIN_FAULT_JOBS ?? 200)
test(`of ${JOBS} jobs, while workers, the server and the database are killed at random, each ends exactly once`, {
  timeout: 1_800_000,
}, async () => {
  const data = dataFolder()
  const random = new Generator(1)
  const chance = () => (random.rand([1]).data as Float32Array)[0] as number
  let served = await startServe(lock, { data })
  const accepted = new Set<string>()
  const killed = { models: 0, server: 0, database: 0 }
  let seed = 0
  let nextKill = Date.now() + 4000
  while (accepted.size < JOBS) {
    const key = `job-${seed}`
    // Sent until it is accepted: the key makes it one job, whatever was lost of an answer.
    const answer = await served
      .ask('/v1/jobs', { json: { model: 'ddpm-stickers-32', options: { steps: 2, seed } }, headers: { 'idempotency-key': key } })
      .catch(() => undefined)
    if (answer?.status === 202) {
      accepted.add(((await answer.json()) as Job).id)
      seed++
    } else await new Promise((later) => setTimeout(later, 200))
    if (Date.now() < nextKill) continue
    nextKill = Date.now() + 3000 + 4000 * chance()
    const what = (['models', 'server', 'database'] as const)[Math.floor(3 * chance())]!
    killed[what]++
    if (what === 'server') {
      served.child.kill('SIGKILL')
      await served.ended
      served = await startServe(lock, { data })
    } else {
      const pid = childOf(served.child.pid as number, `${what}/process`, true)
      if (pid) process.kill(pid, 'SIGKILL')
    }
  }
  open.push(() => served.stop())
  const ends = new Map<string, string>()
  for (const id of accepted) ends.set(id, (await done(served, id)).state)
  // A job whose process was killed twice fails, once and by name; all others have their picture.
  const states = [...ends.values()]
  expect(states.filter((state) => state !== 'completed' && state !== 'failed')).toEqual([])
  expect(states.filter((state) => state === 'completed').length).toBeGreaterThan(0.9 * JOBS)
  expect(wholeFiles(data)).toBe(states.filter((state) => state === 'completed').length)
  const { counts } = (await (await served.ask('/v1/queue')).json()) as { counts: Record<string, number> }
  expect(counts).toEqual({ queued: 0, running: 0, cancelled: 0, completed: expect.any(Number), failed: expect.any(Number) })
  expect(counts.completed! + counts.failed!).toBe(JOBS)
  console.log(`killed ${JSON.stringify(killed)}; ended ${JSON.stringify(counts)}`)
  const { data: one } = (await (await served.ask('/v1/jobs?state=completed&limit=1')).json()) as {
    data: (Job & { result: { files: { url: string }[] } })[]
  }
  const bytes = await fetch(`${served.url}${one[0]!.result.files[0]!.url}`)
  expect(formatOf(new Uint8Array(await bytes.arrayBuffer()))).toBe('png')
})
