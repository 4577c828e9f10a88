import { createHash } from 'node:crypto'

/** A file's bytes and what they are. */
export interface StoredFile {
  readonly bytes: Uint8Array
  readonly type: string
}

/**
 * Files by the SHA-256 of their bytes, each user's apart. A file is there whole or not at all, and never changes.
 */
export interface Store {
  put(owner: string, bytes: Uint8Array, type: string): Promise<string>
  get(owner: string, id: string): Promise<StoredFile | undefined>
  /** The bytes as they come, for what sends them on. */
  stream(
    owner: string,
    id: string,
  ): Promise<{ readonly body: AsyncIterable<Uint8Array>; readonly bytes: number; readonly type: string } | undefined>
  has(owner: string, id: string): Promise<boolean>
  /** Every file with its size and when it was last put, in milliseconds since 1970. */
  list(): AsyncGenerator<{ readonly owner: string; readonly id: string; readonly bytes: number; readonly at: number }>
  remove(owner: string, id: string): Promise<void>
  /** Whether files can be put. @throws what is in the way */
  check(): Promise<void>
}

export const fileId = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

export const isFileId = (id: string): boolean => /^[0-9a-f]{64}$/.test(id)

const endings: Readonly<Record<string, string>> = {
  'image/png': 'png',
  'image/jpeg': 'jpg',
  'image/webp': 'webp',
  'video/mp4': 'mp4',
  'video/webm': 'webm',
}
const types = Object.fromEntries(Object.entries(endings).map(([type, ending]) => [ending, type]))

/** A user's name as a folder: letters, digits and dashes stay, other bytes are written in hexadecimal. */
const folderName = (owner: string) =>
  [...Buffer.from(owner)]
    .map((byte) => {
      const sign = String.fromCharCode(byte)
      return /[A-Za-z0-9-]/.test(sign) ? sign : `_${byte.toString(16).padStart(2, '0')}`
    })
    .join('')

/** The name that `folderName` wrote. */
const nameOf = (folder: string) =>
  Buffer.concat(
    [...folder.matchAll(/_([0-9a-f]{2})|[^_]+/g)].map(([text, hex]) =>
      Buffer.from(hex ?? text, hex === undefined ? 'latin1' : 'hex'),
    ),
  ).toString()

/** `owner/ab/abcdef….png`: the type is the ending's. */
export const keyOf = (owner: string, id: string, type: string): string =>
  `${folderName(owner)}/${id.slice(0, 2)}/${id}.${endings[type] ?? 'bin'}`

/** The keys that a file of any type may have. */
export const keysOf = (owner: string, id: string): string[] =>
  isFileId(id) ? [...Object.keys(endings), ''].map((type) => keyOf(owner, id, type)) : []

export const typeOf = (key: string): string => types[key.slice(key.lastIndexOf('.') + 1)] ?? 'application/octet-stream'

/** What a key says; undefined for what is none. */
export function parseKey(key: string): { owner: string; id: string } | undefined {
  const [, folder, id] = /^([\w-]+)\/[0-9a-f]{2}\/([0-9a-f]{64})\.\w+$/.exec(key) ?? []
  return folder === undefined || id === undefined ? undefined : { owner: nameOf(folder), id }
}
