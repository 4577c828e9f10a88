import * as fs from 'node:fs'
import { existsSync, mkdirSync, mkdtempSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { temporaryFolder } from './temporary-folder.ts'

/** Folders that another user owns, in a place that everybody may write to. */
const foreign = new Set<string>()

vi.mock('node:fs', async (original) => {
  const real = await original<typeof fs>()
  const rmSync = (path: string, options?: fs.RmOptions) => {
    if (foreign.has(path)) throw Object.assign(new Error(`EACCES: permission denied, rm '${path}'`), { code: 'EACCES' })
    real.rmSync(path, options)
  }
  return { ...real, default: { ...real, rmSync }, rmSync }
})

function parentFolder(): string {
  const parent = mkdtempSync(join(tmpdir(), 'langevin-temporary-'))
  onTestFinished(() => fs.rmSync(parent, { recursive: true, force: true }))
  return parent
}

function left(parent: string, pid: number, hours: number): string {
  const folder = join(parent, `langevin-weights-${pid}-abc${hours}`)
  mkdirSync(folder)
  const then = Date.now() / 1000 - 3600 * hours
  utimesSync(folder, then, then)
  return folder
}

/** Above the largest number that Linux gives a process. */
const GONE = 2 ** 22 + 1

test('weights that a killed process left are removed, those of running and recent ones are not', () => {
  const parent = parentFolder()
  const [old, recent, own] = [left(parent, GONE, 2), left(parent, GONE, 0), left(parent, process.pid, 2)]
  const other = join(parent, 'someone-elses-1-x')
  mkdirSync(other)
  const made = temporaryFolder(parent)
  expect([old, recent, own, other, made].map((folder) => existsSync(folder))).toEqual([false, true, true, true, true])
})

test('what another user left, and we may not remove, stops nobody', () => {
  const parent = parentFolder()
  const [theirs, ours] = [left(parent, GONE, 2), left(parent, GONE, 3)]
  foreign.add(theirs)
  const made = temporaryFolder(parent)
  expect([theirs, ours, made].map((folder) => existsSync(folder))).toEqual([true, false, true])
  foreign.clear()
})
