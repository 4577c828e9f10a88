import { linkSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { saving, temporaryIn } from '../checkpoints/atomic.ts'
import { TrainingError } from './errors.ts'

export const lockFile = 'run.lock'

/** The process that writes into a folder. */
interface Holder {
  readonly pid: number
  readonly host: string
  /** When the process began, in the kernel's ticks since boot: tells it from a later process of the same number. Linux only. */
  readonly ticks?: string
  readonly since: string
}

/** A lock that its process shows to be in use, on another host, is at most this old. */
const FRESH = 10 * 60_000
const TOUCH = 30_000

/**
 * Takes a folder for this process, so that no other writes into it, and gives what lets it go. A process that was killed leaves its
 * lock behind, which the next one takes over: on the same host at once, from another host after ten minutes without a sign of life.
 *
 * @param use what the process does there, for the error that another one gets
 * @throws TrainingError where another process has the folder; SaveError where it cannot be written
 */
export function lockFolder(dir: string, use = 'trains in it'): () => void {
  const file = resolve(join(dir, lockFile))
  const ticks = ticksOf(process.pid)
  const mine: Holder = { pid: process.pid, host: hostname(), ...(ticks ? { ticks } : {}), since: new Date().toISOString() }
  const text = `${JSON.stringify(mine)}\n`
  saving(file, () => {
    const temporary = temporaryIn(resolve(dir))
    writeFileSync(temporary, text, { flag: 'wx' })
    try {
      while (!placed(temporary, file, text)) takeOver(file, statSync(temporary).mtimeMs, { dir, use })
    } finally {
      rmSync(temporary, { force: true })
    }
  })
  const beat = setInterval(() => {
    try {
      utimesSync(file, new Date(), new Date())
    } catch {
      // The folder is gone: the next save says so.
    }
  }, TOUCH)
  beat.unref()
  const release = () => {
    clearInterval(beat)
    process.off('exit', release)
    if (contentOf(file) === text) rmSync(file, { force: true })
  }
  process.once('exit', release)
  return release
}

/** Puts the lock in place with its content in one step; false where there is one already. */
function placed(temporary: string, file: string, text: string): boolean {
  try {
    linkSync(temporary, file)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
  }
  // A file system without hard links.
  try {
    writeFileSync(file, text, { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Removes the lock of a process that has ended. @throws TrainingError where it has not */
function takeOver(file: string, now: number, { dir, use }: { readonly dir: string; readonly use: string }): void {
  const content = contentOf(file)
  if (content === undefined) return
  const age = now - (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? now)
  const holder = holderIn(content)
  if (isAlive(holder, age)) {
    const who = holder
      ? `process ${holder.pid} on ${holder.host} ${use} since ${holder.since}`
      : 'another process took it just now'
    throw new TrainingError(`${dir}: ${who}. Stop it or give another folder; if it has ended, delete ${file}`)
  }
  const aside = `${file}.${process.pid}.old`
  try {
    renameSync(file, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  // Between the look and the rename a third process may have taken over: it gets its lock back.
  if (contentOf(aside) !== content) linkSync(aside, file)
  rmSync(aside, { force: true })
}

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

function holderIn(content: string): Holder | undefined {
  try {
    const { pid, host } = JSON.parse(content)
    return Number.isInteger(pid) && typeof host === 'string' ? JSON.parse(content) : undefined
  } catch {
    return undefined
  }
}

function isAlive(holder: Holder | undefined, age: number): boolean {
  if (!holder) return age < TOUCH
  if (holder.host !== hostname()) return age < FRESH
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  return holder.ticks === undefined || holder.ticks === ticksOf(holder.pid)
}

/** Field 22 of /proc/PID/stat; the second, a name in brackets, may hold spaces. */
function ticksOf(pid: number): string | undefined {
  const fields = contentOf(`/proc/${pid}/stat`)?.split(') ').at(-1)?.split(' ')
  return fields?.[19]
}
