import { afterAll, beforeAll, vi } from 'vitest'
import { type Served, startServe } from './process.ts'

// A picture takes a second; on a machine that does other things it waits for its turn.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

/** The server process that all tests of one file ask. */
export let served: Served
beforeAll(async () => {
  served = await startServe(['--limit', '4', '--alias', 'gpt-image-1=stickers-t2i', '--models', 'parity/fixtures/text/llada'])
})
afterAll(() => served?.stop())
