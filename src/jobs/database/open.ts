import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { cacheFolder } from '../../runtime/node/cache.ts'
import { WireServer } from './wire.ts'

export interface Database {
  readonly port: number
  close(): Promise<void>
}

/** BullMQ's tables stand in their own schema, which a pool that it is given must look into first. */
export const SEARCH_PATH = 'bullmq,public'

/** PGlite on a folder, behind a port of this host. */
export async function openDatabase(
  folder: string,
  { port, password }: { readonly port: number; readonly password: string },
): Promise<Database> {
  const { PGlite } = await import('@electric-sql/pglite')
  if (!existsSync(join(folder, 'PG_VERSION'))) await initialise(folder, (dir) => PGlite.create(dir))
  const db = await PGlite.create(folder)
  await db.exec(`SET search_path TO ${SEARCH_PATH}`)
  const server = new WireServer(db, password)
  return {
    port: await server.listen(port),
    async close() {
      await server.close()
      await db.close()
    },
  }
}

/** A new database in one step, copied from one that is kept: making one takes seconds. */
async function initialise(folder: string, create: (dir: string) => Promise<{ close(): Promise<void> }>): Promise<void> {
  const template = join(cacheFolder('database'), `pglite-${pgliteVersion()}`)
  if (!existsSync(template))
    await inOneStep(template, async (dir) => {
      const db = await create(dir)
      await db.close()
    })
  await inOneStep(folder, async (dir) => cpSync(template, dir, { recursive: true }))
}

/** Makes a folder under another name, then moves it to its own: nobody sees half of it. */
async function inOneStep(folder: string, make: (dir: string) => Promise<void>): Promise<void> {
  mkdirSync(dirname(folder), { recursive: true })
  const part = mkdtempSync(`${folder}-`)
  try {
    await make(part)
    if (existsSync(join(folder, 'PG_VERSION'))) return
    rmSync(folder, { recursive: true, force: true })
    renameSync(part, folder)
  } catch (error) {
    if (!existsSync(join(folder, 'PG_VERSION'))) throw error // Another process was faster.
  } finally {
    rmSync(part, { recursive: true, force: true })
  }
}

function pgliteVersion(): string {
  // Its package.json is not exported; it stands above the entry.
  const entry = createRequire(import.meta.url).resolve('@electric-sql/pglite')
  return JSON.parse(readFileSync(join(dirname(entry), '../package.json'), 'utf8')).version
}
