import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

export const KEY = 'a-key-for-tests'

/** A server of its own: a process as a user starts it, on a port that was free. */
export interface Served {
  readonly child: ChildProcess
  readonly url: string
  readonly data: string
  /** What it wrote to standard error. */
  log(): string
  /** How it ended. */
  readonly ended: Promise<number | null>
  /** Asks it, with the key. */
  ask(path: string, options?: RequestInit & { readonly json?: unknown }): Promise<Response>
  /** Ends it, and removes its data. */
  stop(): Promise<void>
}

/** A folder for a server's data. */
export const dataFolder = (): string => mkdtempSync(join(tmpdir(), 'langevin-serve-'))

/** Starts `langevin serve`, and waits until it answers. */
export async function startServe(
  flags: readonly string[] = [],
  {
    data = dataFolder(),
    key = KEY,
    env = {},
  }: { readonly data?: string; readonly key?: string | undefined; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Served> {
  const main = resolve(import.meta.dirname, '../../src/cli/main.ts')
  const args = [main, 'serve', '--port', '0', '--data', data, '--log', '-', ...(key ? ['--key', key] : []), ...flags]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  let log = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    log += chunk
  })
  const ended = new Promise<number | null>((end) => child.once('exit', (code) => end(code)))
  const url = await new Promise<string>((ready, failed) => {
    let out = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      out += chunk
      const found = /^(http:\/\/\S+)\n/m.exec(out)?.[1]
      if (found) ready(found)
    })
    child.once('exit', (code) => failed(new Error(`langevin serve ended with ${code}: ${log}`)))
  })
  return {
    ...{ child, url, data, ended },
    log: () => log,
    ask: (path, { json, ...options } = {}) =>
      fetch(`${url}${path}`, {
        ...options,
        ...(json !== undefined && { method: options.method ?? 'POST', body: JSON.stringify(json) }),
        headers: {
          authorization: `Bearer ${key}`,
          ...(json !== undefined && { 'content-type': 'application/json' }),
          ...(options.headers as Record<string, string>),
        },
      }),
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
      const force = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await ended
      clearTimeout(force)
      rmSync(data, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

/** Looks until something is so. */
export async function until<T>(
  look: () => Promise<T | undefined | false> | T | undefined | false,
  patience = 20_000,
): Promise<T> {
  for (const began = Date.now(); ; ) {
    const found = await look()
    if (found) return found
    if (Date.now() - began > patience) throw new Error(`not so within ${patience} ms: ${look}`)
    await new Promise((later) => setTimeout(later, 50))
  }
}
