import { LangevinError } from '../core/errors.ts'
import {
  closeSync,
  dirname,
  foldersSync,
  fsyncSync,
  join,
  openSync,
  readdirSync,
  renameSync,
  resolve,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from '../runtime/system.ts'
import { SaveError } from './errors.ts'

const temporary = /^\.langevin-[0-9a-f-]{36}\.tmp$/
const day = 24 * 3600 * 1000

/** A name in a folder that no other save uses. What a killed process left there more than a day ago is removed. */
export function temporaryIn(folder: string): string {
  for (const name of readdirSync(folder)) {
    if (!temporary.test(name)) continue
    const path = join(folder, name)
    try {
      if (Date.now() - statSync(path).mtimeMs > day) rmSync(path, { recursive: true })
    } catch {
      // Gone already, or another user's: no reason for this save to fail.
    }
  }
  return join(folder, `.langevin-${crypto.randomUUID()}.tmp`)
}

/** Makes renames in a folder survive a power cut. Where the system has no such call for folders, as Windows, nothing is done. */
export function syncFolder(folder: string): void {
  if (!foldersSync) return
  const fd = openSync(folder, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Writes all bytes at the file's position, however few the system takes at a time. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, Math.min(bytes.length - done, 2 ** 30))
}

/**
 * Runs a save. A system's error (disk full, no permission) becomes a SaveError; our own pass.
 *
 * @throws SaveError
 */
export function saving<T>(file: string, save: () => T): T {
  try {
    return save()
  } catch (error) {
    throw error instanceof LangevinError ? error : new SaveError(file, error)
  }
}

/**
 * Replaces a file in one step: a reader, or a process that is killed, sees the old content or the new and nothing between.
 * Temporary file in the same folder, fsync, rename, fsync of the folder.
 *
 * @param mode the file's permissions, as 0o600; the process's own unless given
 * @throws SaveError; the old file then stands
 */
export function writeAtomic(path: string, content: string | ((fd: number) => void), mode?: number): void {
  saving(path, () => {
    const folder = dirname(resolve(path))
    const temp = temporaryIn(folder)
    try {
      const fd = openSync(temp, 'wx', mode)
      try {
        if (typeof content === 'string') writeFileSync(fd, content)
        else content(fd)
        fsyncSync(fd)
      } finally {
        closeSync(fd)
      }
      renameSync(temp, path)
    } catch (error) {
      rmSync(temp, { force: true })
      throw error
    }
    syncFolder(folder)
  })
}
