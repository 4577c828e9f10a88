import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writeAtomic } from '../../checkpoints/atomic.ts'
import { LangevinError } from '../../core/errors.ts'
import type { DatabaseMessage } from './process.ts'

export interface EmbeddedDatabase {
  /** The address, with its password. */
  readonly url: string
  /** Of its process at the moment, for whoever watches it. */
  readonly pid: number | undefined
  close(): Promise<void>
}

const program = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './process.ts' : './process.js', import.meta.url))
/** Where a data folder says how workers on the same host reach its queue. */
const addressFile = 'queue-url'

/** The address of the queue of a data folder whose server runs on this host. @throws LangevinError where none does */
export function addressIn(data: string): string {
  try {
    return readFileSync(join(data, addressFile), 'utf8').trim()
  } catch {
    throw new LangevinError(
      `${data}: no server keeps its queue there; start one with langevin serve --data ${data}, or name a --queue`,
    )
  }
}

/**
 * PGlite in a process of its own, on the folder `database` of a data folder. When the process ends before it should, another takes its
 * place at the same port.
 *
 * @throws LangevinError where another server has the folder, or the database does not open
 */
export async function embeddedDatabase(
  data: string,
  { onRestart = () => {} }: { readonly onRestart?: (ended: string) => void } = {},
): Promise<EmbeddedDatabase> {
  mkdirSync(data, { recursive: true })
  const folder = join(data, 'database')
  const password = randomBytes(24).toString('hex')
  let closing = false
  let running = await started(folder, 0, password)
  const { port } = running
  const url = `postgres://langevin:${password}@127.0.0.1:${port}/postgres`
  writeAtomic(join(data, addressFile), `${url}\n`, 0o600)
  const watch = (child: ChildProcess) =>
    child.once('exit', async (code, signal) => {
      if (closing) return
      onRestart(signal ?? `exit code ${code}`)
      for (let wait = 100; !closing; wait = Math.min(2 * wait, 5000)) {
        try {
          running = await started(folder, port, password)
          if (closing) running.child.disconnect()
          else watch(running.child)
          return
        } catch (error) {
          onRestart((error as Error).message)
          await new Promise((later) => setTimeout(later, wait))
        }
      }
    })
  watch(running.child)
  return {
    url,
    get pid() {
      return running.child.pid
    },
    async close() {
      if (closing) return
      closing = true
      await ended(running.child)
      rmSync(join(data, addressFile), { force: true })
    },
  }
}

function started(folder: string, port: number, password: string): Promise<{ child: ChildProcess; port: number }> {
  const child = fork(program, [folder, String(port), password], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
  let complaint = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk).slice(-2000)
  })
  return new Promise((resolve, reject) => {
    const failed = (why: string) => reject(new LangevinError(`the embedded database in ${folder} does not open: ${why}`))
    child.once('exit', (code, signal) => failed(complaint.trim() || `its process ended (${signal ?? code})`))
    child.once('message', (message: DatabaseMessage) => {
      if ('ready' in message) resolve({ child, port: message.ready.port })
      else failed(message.failed)
    })
  })
}

/** Ends a child by closing the channel, and by force where it does not go. */
function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((gone) => {
    const force = setTimeout(() => child.kill('SIGKILL'), 5000)
    child.once('exit', () => {
      clearTimeout(force)
      gone()
    })
    if (child.connected) child.disconnect()
  })
}
