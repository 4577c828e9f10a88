import { afterAll, afterEach, beforeAll, vi } from 'vitest'
import { type Served, startServe } from './process.ts'

// A picture takes a second; on a machine that does other things it waits for its turn.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

/** The server process that all tests of one file ask. */
export let served: Served
beforeAll(async () => {
  served = await startServe(['--limit', '4', '--alias', 'gpt-image-1=stickers-t2i', '--models', 'parity/fixtures/text/llada'])
})
afterAll(() => served?.stop())

/** A test that fails half-way leaves the next ones a queue that runs, and is empty. */
afterEach(async () => {
  await served.ask('/v1/queue/resume', { method: 'POST' })
  const { data } = (await (await served.ask('/v1/jobs?state=queued')).json()) as { data: { id: string }[] }
  for (const { id } of data) await served.ask(`/v1/jobs/${id}/cancel`, { method: 'POST' })
})
