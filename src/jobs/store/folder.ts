import { constants, createReadStream, mkdirSync } from 'node:fs'
import { access, opendir, readdir, readFile, rm, stat, utimes } from 'node:fs/promises'
import { dirname, join, resolve, sep } from 'node:path'
import { writeAll, writeAtomic } from '../../checkpoints/atomic.ts'
import { fileId, keyOf, keysOf, parseKey, type Store, typeOf } from './store.ts'

/** Files in a folder of this host, or of one that hosts share. */
export function folderStore(folder: string): Store {
  const root = resolve(folder)
  const found = async (owner: string, id: string) => {
    for (const key of keysOf(owner, id)) {
      const path = join(root, key)
      const info = await stat(path).catch(() => undefined)
      if (info?.isFile()) return { path, info, type: typeOf(key) }
    }
    return undefined
  }
  return {
    async put(owner, bytes, type) {
      const id = fileId(bytes)
      const there = await found(owner, id)
      if (there) {
        // Put again is used again: what removes old files goes by this.
        const now = new Date()
        await utimes(there.path, now, now).catch(() => {})
        return id
      }
      const path = join(root, keyOf(owner, id, type))
      mkdirSync(dirname(path), { recursive: true })
      writeAtomic(path, (fd) => writeAll(fd, bytes))
      return id
    },
    async get(owner, id) {
      const file = await found(owner, id)
      return file && { bytes: await readFile(file.path), type: file.type }
    },
    async stream(owner, id) {
      const file = await found(owner, id)
      return file && { body: createReadStream(file.path), bytes: file.info.size, type: file.type }
    },
    has: async (owner, id) => (await found(owner, id)) !== undefined,
    async *list() {
      for (const owner of await readdir(root).catch(() => []))
        for await (const entry of await opendir(join(root, owner), { recursive: true }).catch(() => [])) {
          if (!entry.isFile()) continue
          const path = join(entry.parentPath, entry.name)
          const known = parseKey(
            path
              .slice(root.length + 1)
              .split(sep)
              .join('/'),
          )
          const info = known && (await stat(path).catch(() => undefined))
          if (known && info) yield { ...known, bytes: info.size, at: info.mtimeMs }
        }
    },
    async remove(owner, id) {
      for (const key of keysOf(owner, id)) await rm(join(root, key), { force: true })
    },
    async check() {
      mkdirSync(root, { recursive: true })
      await access(root, constants.W_OK)
    },
  }
}
