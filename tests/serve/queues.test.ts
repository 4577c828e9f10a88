import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { embeddedDatabase } from '../../src/jobs/database/embedded.ts'
import { type Job, jobSpec } from '../../src/jobs/job.ts'
import { connect } from '../../src/jobs/queue/connect.ts'
import type { JobEvent } from '../../src/jobs/queue/events.ts'
import { JobQueue } from '../../src/jobs/queue/queue.ts'
import { folderStore } from '../../src/jobs/store/folder.ts'
import { sweep } from '../../src/jobs/sweep.ts'
import { postgres, startPostgres, startValkey, valkey } from './databases.ts'

// One queue on three databases. No model runs here: a worker of BullMQ's own stands for those of langevin.

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const without = (name: string, is: unknown) => (is ? name : `${name}, skipped: it is not installed`)
const databases = [
  { name: 'the embedded database', is: true, start: embedded },
  {
    name: without('PostgreSQL', postgres.server && postgres.initdb),
    is: postgres.server && postgres.initdb,
    start: startPostgres,
  },
  { name: without('Valkey', valkey), is: valkey, start: startValkey },
]

async function embedded() {
  const dir = mkdtempSync(join(tmpdir(), 'langevin-embedded-'))
  const database = await embeddedDatabase(dir)
  const stop = async () => {
    await database.close()
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  }
  return { url: database.url, stop }
}

describe.each(databases)('$name', ({ is, start }) => {
  let queue: JobQueue
  let url = ''
  let stop = async () => {}
  const dir = mkdtempSync(join(tmpdir(), 'langevin-queue-'))
  beforeAll(async () => {
    if (!is) return
    const database = await start()
    ;({ url, stop } = database)
    queue = await JobQueue.open(await connect(url), { limit: 6 })
  })
  afterAll(async () => {
    await queue?.close()
    await stop()
    rmSync(dir, { recursive: true, force: true })
  })
  const spec = (more: object = {}) => jobSpec.parse({ model: 'm', options: { prompt: 'x' }, ...more })
  const order = async () => (await queue.list({ states: ['queued'] })).map(({ id }) => id)
  /** Takes one job as a worker does. */
  async function take(run: (spec: Job['spec']) => unknown): Promise<void> {
    const { Worker } = await import('bullmq')
    const backend = await connect(url)
    const options = { connection: backend.connection, ...(backend.prefix && { prefix: backend.prefix }) }
    const once = new Promise<void>((end) => {
      const worker = new Worker(
        ...([
          'langevin',
          async (job: { data: { spec: Job['spec'] } }) => run(job.data.spec),
          options,
          backend.factory,
        ] as unknown as ConstructorParameters<typeof Worker>),
      )
      worker.on('error', () => {})
      const ended = () =>
        void worker
          .close()
          .then(() => backend.close())
          .then(end)
      worker.once('completed', ended)
      worker.once('failed', ended)
    })
    await once
  }

  test.skipIf(!is)('jobs wait in order, move, and are ended before they begin', async () => {
    await queue.pause()
    const [a, b, c] = [
      await queue.add(spec(), { id: 'a' }),
      await queue.add(spec(), { id: 'b' }),
      await queue.add(spec(), { id: 'c', priority: 5 }),
    ]
    expect([a!.state, b!.state, c!.priority]).toEqual(['queued', 'queued', 5])
    expect(await order()).toEqual(['c', 'a', 'b'])
    await queue.move('b', { priority: 10 })
    expect(await order()).toEqual(['b', 'c', 'a'])
    await queue.move('a', { position: 'first' })
    expect((await order())[0]).toBe('a')
    expect(await queue.cancel('c')).toBe(true)
    expect(await queue.get('c')).toMatchObject({ state: 'cancelled', spec: { model: 'm' } })
    expect(await queue.cancel('c')).toBe(false)
    expect(await queue.counts()).toMatchObject({ queued: 2, cancelled: 1 })
    expect((await queue.retry('c')).state).toBe('queued')
    for (const id of ['a', 'b', 'c']) await queue.cancel(id)
    await queue.resume()
  })

  test.skipIf(!is)('a key makes a request that is sent twice one job, and is no other’s', async () => {
    await queue.pause()
    const first = await queue.add(spec({ digest: 'one' }), { id: 'key' })
    expect((await queue.add(spec({ digest: 'one' }), { id: 'key' })).id).toBe(first.id)
    await expect(queue.add(spec({ digest: 'two' }), { id: 'key' })).rejects.toThrow(/another request/)
    await queue.cancel('key')
    await queue.resume()
  })

  test.skipIf(!is)(
    'no more wait than may; what is cancelled makes room at once, and an idle worker goes on when the queue does',
    async () => {
      const takes = take(() => ({ files: [], settings: {}, seconds: { open: 0, run: 0 } }))
      await new Promise((later) => setTimeout(later, 300))
      await queue.pause()
      await queue.counts()
      for (let k = 0; k < 6; k++) await queue.add(spec(), { id: `full-${k}` })
      await expect(queue.add(spec(), { id: 'full' })).rejects.toMatchObject({ retryAfter: expect.any(Number) })
      await queue.cancel('full-0')
      await queue.add(spec(), { id: 'room' })
      for (let k = 1; k < 6; k++) await queue.cancel(`full-${k}`)
      expect(queue.waiting).toBe(1)
      await queue.resume()
      const resumed = Date.now()
      await takes
      expect((await queue.wait('room')).state).toBe('completed')
      expect(Date.now() - resumed).toBeLessThan(4000)
    },
  )

  test.skipIf(!is)('who waits is told of a job’s end and of its progress, and its result is kept', async () => {
    const store = folderStore(dir)
    const [used, unused] = [
      await store.put('local', Buffer.from('used'), 'image/png'),
      await store.put('local', Buffer.from('unused'), 'image/png'),
    ]
    const events: JobEvent['type'][] = []
    const job = await queue.add(spec(), { id: 'runs' })
    const waits = queue.wait(job.id, { onEvent: ({ type }) => events.push(type) })
    await take(() => ({ files: [{ file: used, type: 'image/png', bytes: 4 }], settings: {}, seconds: { open: 0, run: 0 } }))
    const ended = await waits
    expect(ended).toMatchObject({ state: 'completed', attempts: 1, result: { files: [{ file: used }] } })
    expect(events).toContain('completed')
    // Files that a job names stay, and others go once they are old; then the job goes, and its file with it.
    const later = Date.now() + 2 * 3600 * 1000
    await sweep(queue, store, { keep: 24 * 3600 * 1000, bytes: 1e9 }, later)
    expect([await store.has('local', used), await store.has('local', unused)]).toEqual([true, false])
    await sweep(queue, store, { keep: 3600 * 1000, bytes: 1e9 }, later)
    expect([await store.has('local', used), await queue.get('runs')]).toEqual([false, undefined])
  })

  test.skipIf(!is)('a job that fails says why, and runs again when it is told to', async () => {
    const job = await queue.add(spec(), { id: 'fails' })
    const waits = queue.wait(job.id)
    const { UnrecoverableError } = await import('bullmq')
    await take(() => {
      throw new UnrecoverableError(JSON.stringify({ fault: 'not_finite', message: 'no picture' }))
    })
    expect(await waits).toMatchObject({ state: 'failed', error: { fault: 'not_finite', message: 'no picture' } })
    const again = await queue.retry('fails')
    expect(again.state).toBe('queued')
    expect(again.error).toBeUndefined()
    await queue.cancel('fails')
    await expect(queue.retry('runs')).rejects.toThrow(/no job/)
  })
})
