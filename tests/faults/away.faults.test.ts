import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, test } from 'vitest'
import { postgres, startPostgres } from '../serve/databases.ts'
import { type Served, startServe, until } from '../serve/process.ts'
import { accepted, brokenFiles, flags, over, type Shown, shownJob } from './jobs.ts'
import { partsOf, processesBelow, signal } from './processes.ts'

// The database is away for half a minute, and clocks jump: faults 24 and 25.

const AWAY = 30_000
const pause = (ms: number) => new Promise((later) => setTimeout(later, ms))

async function allEnd(served: Served, ids: readonly string[]): Promise<Shown[]> {
  const ends: Shown[] = []
  for (const id of ids)
    ends.push(
      await until(async () => {
        const found = await shownJob(served, id)
        return found && over(found) && found
      }, 120_000),
    )
  return ends
}

/** Jobs run and wait; the database goes, and comes back; they end, and so does a job that comes afterwards. */
async function outlives(served: Served, gone: () => void, back: () => Promise<void> | void) {
  const ids = [await accepted(() => served, { seed: 1, steps: 400 })]
  for (let seed = 2; seed < 8; seed++) ids.push(await accepted(() => served, { seed }))
  gone()
  await until(async () => (await served.ask('/ready')).status === 503, 15_000)
  expect((await served.ask('/health')).status).toBe(200)
  await pause(AWAY)
  await back()
  await until(async () => (await served.ask('/ready')).status === 200, 60_000)
  ids.push(await accepted(() => served, { seed: 9 }))
  const ends = await allEnd(served, ids)
  expect(ends.map(({ state }) => state)).toEqual(ids.map(() => 'completed'))
  for (const end of ends) expect(await brokenFiles(served, end)).toEqual([])
}

describe('the database is away for 30 s: nothing is lost', () => {
  test('the embedded one stands still', async () => {
    const served = await startServe(['--lock', '5', ...flags])
    const parts = () => partsOf(served.child.pid as number, 'database')
    try {
      await outlives(
        served,
        () => {
          for (const { pid } of parts()) signal(pid, 'SIGSTOP')
        },
        () => {
          for (const { pid } of parts()) signal(pid, 'SIGCONT')
        },
      )
    } finally {
      for (const { pid } of parts()) signal(pid, 'SIGCONT')
      await served.stop()
    }
  })

  test.skipIf(!postgres.server)('PostgreSQL stands still', async () => {
    const database = await startPostgres()
    const served = await startServe(['--queue', database.url, '--lock', '5', ...flags])
    const all = (name: NodeJS.Signals) => {
      for (const { pid } of [{ pid: database.child.pid as number }, ...processesBelow(database.child.pid as number)])
        signal(pid, name)
    }
    try {
      await outlives(
        served,
        () => all('SIGSTOP'),
        () => all('SIGCONT'),
      )
    } finally {
      all('SIGCONT')
      await served.stop()
      await database.stop()
    }
  })
})

test.each([
  ['an hour ahead', 3_600_000],
  ['an hour back', -3_600_000],
])('the clock of a server and its worker jumps %s while a job runs: it ends once', async (_, ahead) => {
  const desk = mkdtempSync(join(tmpdir(), 'langevin-clock-'))
  const clock = join(desk, 'ahead')
  writeFileSync(clock, '0')
  const loaded = pathToFileURL(resolve(import.meta.dirname, 'clock.mjs')).href
  const served = await startServe(['--lock', '5', ...flags], {
    env: { NODE_OPTIONS: `--import=${loaded}`, LANGEVIN_TEST_CLOCK: clock },
  })
  try {
    const ids = [await accepted(() => served, { seed: 1, steps: 600 }), await accepted(() => served, { seed: 2 })]
    await until(async () => (await shownJob(served, ids[0] as string))?.state === 'running')
    writeFileSync(clock, String(ahead))
    ids.push(await accepted(() => served, { seed: 3 }))
    const ends = await allEnd(served, ids)
    expect(ends.map(({ state }) => state)).toEqual(['completed', 'completed', 'completed'])
    await pause(6000)
    expect((await served.ask('/v1/jobs').then((answer) => answer.json())).data).toHaveLength(3)
  } finally {
    await served.stop()
    rmSync(desk, { recursive: true, force: true })
  }
})
