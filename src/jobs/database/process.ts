// The embedded database, in a process of its own: PGlite runs a query on its thread, and a server must go on answering.
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { lockFolder } from '../../training/lock.ts'
import { openDatabase } from './open.ts'

/** What the parent is told. */
export type DatabaseMessage = { readonly ready: { readonly port: number } } | { readonly failed: string }

const [folder = '', port = '0', password = ''] = process.argv.slice(2)
const tell = (message: DatabaseMessage) => process.send?.(message)

/** Two engines on one folder would ruin it. One whose server was killed needs a moment to end. */
async function locked(dir: string): Promise<void> {
  for (const began = Date.now(); ; )
    try {
      lockFolder(dir, 'keeps its queue there')
      return
    } catch (error) {
      if (Date.now() - began > 5000) throw error
      await new Promise((later) => setTimeout(later, 100))
    }
}

try {
  mkdirSync(dirname(folder), { recursive: true })
  await locked(dirname(folder))
  const database = await openDatabase(folder, { port: Number(port), password })
  const close = async () => {
    await database.close()
    process.exit(0)
  }
  // The parent is gone, however it ended.
  process.on('disconnect', close)
  process.on('SIGTERM', close)
  // Ctrl-C reaches the whole terminal; the parent says when.
  process.on('SIGINT', () => {})
  tell({ ready: { port: database.port } })
} catch (error) {
  tell({ failed: error instanceof Error ? error.message : String(error) })
  process.exit(1)
}
