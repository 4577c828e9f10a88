import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

/** A database of its own for a test. */
export interface TestDatabase {
  readonly url: string
  readonly child: ChildProcess
  stop(): Promise<void>
}

/** PostgreSQL runs for no administrator: where the tests are one, it runs for nobody. */
const nobody = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}

const debian = '/usr/lib/postgresql'
const found = (name: string, folders: readonly string[]) => folders.map((folder) => join(folder, name)).find(existsSync)
const path = (process.env.PATH ?? '').split(delimiter)
const versions = existsSync(debian) ? readdirSync(debian).map((version) => join(debian, version, 'bin')) : []

/** PostgreSQL's programs, where Debian's packages or the PATH have them. */
export const postgres = { initdb: found('initdb', [...versions, ...path]), server: found('postgres', [...versions, ...path]) }

/** Valkey, or Redis of the same protocol. */
export const valkey = process.env.LANGEVIN_VALKEY ?? found('valkey-server', path) ?? found('redis-server', path)

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  const { port } = server.address() as { port: number }
  await new Promise((closed) => server.close(closed))
  return port
}

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'langevin-database-'))
  if (nobody.uid !== undefined) chownSync(dir, nobody.uid, nobody.gid)
  return dir
}

async function ready(child: ChildProcess, words: RegExp): Promise<void> {
  let log = ''
  await new Promise<void>((heard, failed) => {
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => {
        log += chunk
        if (words.test(log)) heard()
      })
    child.once('exit', (code) => failed(new Error(`${child.spawnfile} ended with ${code}: ${log}`)))
  })
}

const stopping = (child: ChildProcess, dir: string) => async () => {
  const ended = new Promise((end) => child.once('exit', end))
  if (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGKILL')
    await ended
  }
  rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
}

export async function startPostgres(): Promise<TestDatabase> {
  const dir = folder()
  const data = join(dir, 'data')
  execFileSync(postgres.initdb as string, ['-D', data, '-U', 'langevin', '-A', 'trust', '--no-sync'], {
    ...nobody,
    stdio: 'pipe',
    cwd: dir,
  })
  const port = await freePort()
  const flags = ['-D', data, '-p', String(port), '-k', dir, '-c', 'listen_addresses=127.0.0.1', '-c', 'fsync=off']
  const child = spawn(postgres.server as string, flags, { ...nobody, cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] })
  await ready(child, /ready to accept connections/)
  return { url: `postgres://langevin@127.0.0.1:${port}/postgres`, child, stop: stopping(child, dir) }
}

export async function startValkey(): Promise<TestDatabase> {
  const dir = folder()
  const port = await freePort()
  const child = spawn(valkey as string, ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', ''], {
    ...nobody,
    cwd: dir,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  await ready(child, /Ready to accept connections/i)
  return { url: `redis://127.0.0.1:${port}`, child, stop: stopping(child, dir) }
}
