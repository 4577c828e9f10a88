import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from './prepared.ts'

test('weights that a killed process left are removed, those of running and recent ones are not', () => {
  const parent = mkdtempSync(join(tmpdir(), 'langevin-prepared-'))
  const left = (pid: number, hours: number) => {
    const folder = join(parent, `langevin-weights-${pid}-abc${hours}`)
    mkdirSync(folder)
    const then = Date.now() / 1000 - 3600 * hours
    utimesSync(folder, then, then)
    return folder
  }
  const gone = 2 ** 22 + 1 // Above the largest number that Linux gives a process.
  const [old, recent, own] = [left(gone, 2), left(gone, 0), left(process.pid, 2)]
  const other = join(parent, 'someone-elses-1-x')
  mkdirSync(other)
  const made = temporaryFolder(parent)
  expect([old, recent, own, other, made].map((folder) => existsSync(folder))).toEqual([false, true, true, true, true])
  rmSync(parent, { recursive: true })
})
