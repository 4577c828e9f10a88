import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'

const PREFIX = 'langevin-weights-'
/** Milliseconds after which what a process left is no longer taken for something that is being made. */
const STALE = 3_600_000

/** A folder for one program's weights. What programs left here that were killed while they compiled goes first. */
export function temporaryFolder(parent: string): string {
  removeLeft(parent, new RegExp(`^${PREFIX}(\\d+)-`))
  return mkdtempSync(join(parent, `${PREFIX}${process.pid}-`))
}

/**
 * Removes what processes that are gone left in a folder an hour ago or longer, by names that hold a process's number. What
 * cannot be removed stays: another user's, in a folder that everybody may write to, is not ours to clean.
 */
export function removeLeft(parent: string, pattern: RegExp): void {
  for (const name of namesIn(parent)) {
    const pid = pattern.exec(name)?.[1]
    if (pid === undefined || isRunning(Number(pid))) continue
    const path = join(parent, name)
    try {
      if (Date.now() - statSync(path).mtimeMs > STALE) rmSync(path, { recursive: true, force: true })
    } catch {
      // Gone already, or somebody else's.
    }
  }
}

/** Names of what lies in a folder; none where it cannot be looked into. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}
