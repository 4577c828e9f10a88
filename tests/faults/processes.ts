import { execFileSync } from 'node:child_process'

/** A process below another: its number, its parent's, and how it was started. */
export interface Below {
  readonly pid: number
  readonly parent: number
  readonly command: string
}

/** All processes below one, children of children too. */
export function processesBelow(pid: number): Below[] {
  const rows = execFileSync('ps', ['-eo', 'pid=,ppid=,args='], { encoding: 'utf8', maxBuffer: 1 << 24 })
  const all = rows.split('\n').flatMap((row) => {
    const [, own, parent, command] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(row) ?? []
    return own === undefined ? [] : [{ pid: Number(own), parent: Number(parent), command: command as string }]
  })
  const below = (of: number): Below[] => all.filter(({ parent }) => parent === of).flatMap((one) => [one, ...below(one.pid)])
  return below(pid)
}

/** The processes of a server or worker that run models, or its embedded database. */
export const partsOf = (pid: number, part: 'models' | 'database'): Below[] =>
  processesBelow(pid).filter(({ command }) => new RegExp(`jobs/${part}/process\\.[tj]s`).test(command))

/** Sends a signal, also to what is gone already. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Bytes of memory that a process has. */
export function residentBytes(pid: number): number {
  return 1024 * Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' }).trim())
}
