import { sha256 as digest } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import { mkdirSync } from './files.ts'
import { join } from './paths.ts'

export * from './files.ts'
export * from './paths.ts'

/** A folder in this thread's memory: nothing is kept when it ends. */
export function cacheFolder(...parts: readonly string[]): string {
  const folder = join('/cache', ...parts)
  mkdirSync(folder)
  return folder
}

export const foldersSync = false

export const sha256 = (text: string): string => bytesToHex(digest(utf8ToBytes(text)))

/** Browsers unpack only in streams, which cannot be waited for where files are opened. */
function cannotUnpack(): never {
  throw new Error('compressed files are not read in a browser: unpack it first')
}

export const gunzipSync = cannotUnpack
export const inflateRawSync = cannotUnpack

export const availableParallelism = (): number => navigator.hardwareConcurrency
