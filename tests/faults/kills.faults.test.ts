import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { Generator } from '../../src/runtime/random.ts'
import { dataFolder, type Served, startServe, until } from '../serve/process.ts'
import { accepted, brokenFiles, flags, over, shownJob } from './jobs.ts'
import { partsOf, signal } from './processes.ts'

// Processes are killed at random moments while jobs come in and run: faults 4, 5 and 24.

const main = resolve(import.meta.dirname, '../../src/cli/main.ts')

/** A worker beside a server; another takes its place when it ends. */
function keptWorker(data: string): { readonly pid: () => number; stop(): void } {
  let child: ChildProcess
  let over = false
  const start = () => {
    child = spawn(process.execPath, [main, 'worker', '--data', data, '--lock', '3', ...flags], { stdio: 'ignore' })
    child.once('exit', () => {
      if (!over) setTimeout(start, 300)
    })
  }
  start()
  return {
    pid: () => child.pid as number,
    stop() {
      over = true
      child.kill('SIGKILL')
    },
  }
}

const hashOf = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex')

const pause = (ms: number) => new Promise((later) => setTimeout(later, ms))

test('of 200 accepted jobs each ends once, whatever is killed meanwhile, and every file is whole', async () => {
  const data = dataFolder()
  const serving = () => startServe(['--limit', '400', '--lock', '3', ...flags], { data })
  let served: Served = await serving()
  const worker = keptWorker(data)
  const random = new Generator(11)
  const one = (n: number) => Math.floor(random.rand([1]).item() * n)
  const killed = { model: 0, worker: 0, database: 0, server: 0 }
  try {
    const ids: string[] = []
    let adding = true
    const adds = (async () => {
      for (let seed = 0; seed < 200; seed++) ids.push(await accepted(() => served, { seed, steps: 20 + 10 * (seed % 7) }))
      adding = false
    })()
    // As long as jobs come in and wait, something is killed every half to two seconds.
    for (let round = 0; round < 24 && (adding || round < 16); round++) {
      await pause(500 + one(1500))
      const part = (['model', 'worker', 'database', 'server', 'model'] as const)[one(5)] as keyof typeof killed
      killed[part]++
      const host = served.child.pid as number
      if (part === 'server') {
        for (const { pid } of partsOf(host, 'database')) signal(pid, 'SIGKILL')
        served.child.kill('SIGKILL')
        await served.ended
        served = await serving()
      } else if (part === 'worker') signal(worker.pid(), 'SIGKILL')
      else if (part === 'database') for (const { pid } of partsOf(host, 'database')) signal(pid, 'SIGKILL')
      else for (const { pid } of [...partsOf(host, 'models'), ...partsOf(worker.pid(), 'models')]) signal(pid, 'SIGKILL')
    }
    await adds
    expect(new Set(ids).size).toBe(200)
    const ends = new Map<string, { state: string; fault: string | undefined }>()
    for (const id of ids) {
      const job = await until(async () => {
        const found = await shownJob(served, id)
        return found && over(found) && found
      }, 240_000)
      ends.set(id, { state: job.state, fault: job.error?.fault })
      expect(await brokenFiles(served, job)).toEqual([])
    }
    // A job whose process is killed twice fails, and says so; nothing else may fail.
    const failed = [...ends.values()].filter(({ state }) => state !== 'completed')
    expect(failed.filter(({ fault }) => fault !== 'worker_killed')).toEqual([])
    console.log('killed', killed, 'completed', ids.length - failed.length, 'failed as worker_killed', failed.length)
    // What has ended does not begin again.
    await pause(4000)
    for (const id of ids) expect((await shownJob(served, id))?.state).toBe(ends.get(id)?.state)
    const stored = readdirSync(join(data, 'files'), { recursive: true, withFileTypes: true })
    const named = stored.filter((entry) => entry.isFile() && /^[0-9a-f]{64}/.test(entry.name))
    expect(named.length).toBeGreaterThan(150)
    const wrong = named.filter(({ parentPath, name }) => hashOf(join(parentPath, name)) !== name.slice(0, 64))
    expect(wrong).toEqual([])
  } finally {
    worker.stop()
    await served.stop()
    rmSync(data, { recursive: true, force: true, maxRetries: 5 })
  }
})

test('a server that is told to stop lets a job end, hands the rest on, and the next one takes it', async () => {
  const data = dataFolder()
  const served = await startServe([...flags, '--drain', '2'], { data })
  let next: Served | undefined
  try {
    const long = await accepted(() => served, { seed: 1, steps: 900 })
    const waiting = await accepted(() => served, { seed: 2 })
    await until(async () => (await shownJob(served, long))?.state === 'running')
    served.child.kill('SIGTERM')
    await until(async () => (await served.ask('/ready').catch(() => undefined))?.status === 503)
    const refused = await served.ask('/v1/jobs', { json: { model: 'sd1', options: { prompt: 'a fox' } } })
    expect(refused.status).toBe(503)
    const began = Date.now()
    await served.ended
    expect(Date.now() - began).toBeLessThan(12_000)
    next = await startServe(flags, { data })
    for (const id of [waiting, long]) {
      const job = await until(async () => {
        const found = await shownJob(next as Served, id)
        return found && over(found) && found
      }, 120_000)
      expect(job).toMatchObject({ state: 'completed' })
    }
  } finally {
    await served.stop()
    await next?.stop()
  }
})
