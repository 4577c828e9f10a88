import { createHash } from 'node:crypto'

export {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
export { availableParallelism } from 'node:os'
export { basename, dirname, extname, join, relative, resolve } from 'node:path'
export { gunzipSync, inflateRawSync } from 'node:zlib'
export { cacheFolder } from './cache.ts'

/** Whether a folder can be opened and synced: not on Windows. */
export const foldersSync = process.platform !== 'win32'

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
