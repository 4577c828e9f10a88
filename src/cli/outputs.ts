import { accessSync, constants, existsSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { UsageError } from './errors.ts'

/**
 * Holds a file against what stands there, before the work whose result it is to hold: its folder is there and can be written to,
 * and nothing in its place but a file that may be replaced.
 *
 * @returns the path, resolved
 * @throws UsageError that names the flag
 */
export function writable(path: string, flag = '--out'): string {
  const target = resolve(path)
  const folder = dirname(target)
  if (!existsSync(folder)) throw new UsageError(`${flag}: no such folder: ${folder}`)
  if (!statSync(folder).isDirectory()) throw new UsageError(`${flag}: ${folder} is no folder`)
  if (existsSync(target)) {
    if (statSync(target).isDirectory()) throw new UsageError(`${flag}: ${target} is a folder: name a file`)
    attempt(flag, target, () => accessSync(target, constants.W_OK))
  }
  // What looks writable need not be: a file system that is read-only, or full.
  const probe = join(folder, `.langevin-${process.pid}.tmp`)
  attempt(flag, folder, () => writeFileSync(probe, ''))
  rmSync(probe, { force: true })
  return target
}

function attempt(flag: string, path: string, work: () => void): void {
  try {
    work()
  } catch (error) {
    throw new UsageError(`${flag}: ${path} cannot be written (${(error as NodeJS.ErrnoException).code})`, { cause: error })
  }
}
