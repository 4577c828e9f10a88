import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import { LangevinError } from '../core/errors.ts'

/** A file that cannot be fetched, or is not what its listing says. */
export class FetchError extends LangevinError {}

/** The browser gives this page no more room on the disk. */
export class StorageFullError extends LangevinError {}

/** A file that can be fetched. */
export interface RemoteFile {
  /** In the model's folder. */
  readonly path: string
  readonly url: string
  readonly bytes: number
  /** Of the whole file, in hexadecimal. */
  readonly sha256?: string | undefined
}

/** How far a download is. */
export interface DownloadProgress {
  readonly file: string
  /** Bytes of all files that are here, and all of them. */
  readonly done: number
  readonly total: number
}

export interface FetchOptions {
  readonly signal?: AbortSignal | undefined
  readonly onBytes?: (count: number) => void
}

/** A file's synchronous handle, which browsers have in workers. */
interface SyncHandle {
  read(into: Uint8Array, options: { at: number }): number
  write(bytes: Uint8Array, options: { at: number }): number
  truncate(size: number): void
  getSize(): number
  flush(): void
  close(): void
}

/** Bytes that are hashed at a time of what came before a download was cut off. */
const CHUNK = 2 ** 22

/**
 * Fetched files in the origin's private file system, by their checksums, or by their addresses where none is known. What a closed
 * tab had fetched of a file stays, and the next fetch goes on from there.
 */
export class Store {
  private readonly folder: FileSystemDirectoryHandle

  private constructor(folder: FileSystemDirectoryHandle) {
    this.folder = folder
  }

  /** Undefined where the browser has none: some give no storage in private windows. */
  static async open(): Promise<Store | undefined> {
    try {
      const root = await navigator.storage.getDirectory()
      return new Store(await root.getDirectoryHandle('langevin', { create: true }))
    } catch {
      return undefined
    }
  }

  /** The file, if all of it is here. One of another size, from an address that gives another file by now, goes. */
  async get(file: RemoteFile): Promise<File | undefined> {
    const handle = await this.folder.getFileHandle(nameOf(file)).catch(() => undefined)
    const kept = await handle?.getFile()
    if (kept === undefined || kept.size === file.bytes) return kept
    await this.folder.removeEntry(nameOf(file))
    return undefined
  }

  /** Bytes of it that are here. */
  async size(file: RemoteFile): Promise<number> {
    const names = [nameOf(file), partOf(file)]
    for (const name of names) {
      const handle = await this.folder.getFileHandle(name).catch(() => undefined)
      if (handle) return (await handle.getFile()).size
    }
    return 0
  }

  /**
   * The file, fetched if it is not here, or what is missing of it.
   * @throws FetchError, StorageFullError; the signal's reason
   */
  async fetch(file: RemoteFile, options: FetchOptions = {}): Promise<File> {
    return navigator.locks.request(`langevin:${nameOf(file)}`, async () => {
      const kept = await this.get(file)
      if (kept) {
        options.onBytes?.(kept.size)
        return kept
      }
      await this.complete(file, options)
      const part = await this.folder.getFileHandle(partOf(file))
      await (part as FileSystemFileHandle & { move(name: string): Promise<void> }).move(nameOf(file))
      return (await this.folder.getFileHandle(nameOf(file))).getFile()
    })
  }

  /** Removes all that was fetched. */
  async clear(): Promise<void> {
    for await (const name of this.folder.keys()) await this.folder.removeEntry(name)
  }

  private async complete(file: RemoteFile, { signal, onBytes }: FetchOptions): Promise<void> {
    const part = await this.folder.getFileHandle(partOf(file), { create: true })
    const handle = await (part as unknown as { createSyncAccessHandle(): Promise<SyncHandle> }).createSyncAccessHandle()
    try {
      let hash = sha256.create()
      let end = handle.getSize()
      if (end > file.bytes) end = 0
      for (let at = 0; at < end; at += CHUNK) {
        const chunk = new Uint8Array(Math.min(CHUNK, end - at))
        handle.read(chunk, { at })
        hash.update(chunk)
      }
      onBytes?.(end)
      if (end < file.bytes || file.bytes === 0) {
        const response = await asked(file, end, signal)
        if (end > 0 && response.status !== 206) {
          // The server gives the whole file, not the rest.
          onBytes?.(-end)
          end = 0
          hash = sha256.create()
        }
        handle.truncate(end)
        for await (const bytes of bodyOf(response, file, signal)) {
          write(handle, bytes, end, file)
          hash.update(bytes)
          end += bytes.length
          onBytes?.(bytes.length)
        }
        handle.flush()
      }
      try {
        check(file, end, bytesToHex(hash.digest()))
      } catch (error) {
        // Nothing is to be gained from going on with it.
        if (end >= file.bytes) handle.truncate(0)
        throw error
      }
    } finally {
      handle.close()
    }
  }
}

/** The file in memory, for browsers without storage. @throws FetchError */
export async function fetchToMemory(file: RemoteFile, { signal, onBytes }: FetchOptions = {}): Promise<Blob> {
  const hash = sha256.create()
  const parts: Uint8Array<ArrayBuffer>[] = []
  let size = 0
  for await (const bytes of bodyOf(await asked(file, 0, signal), file, signal)) {
    parts.push(bytes)
    hash.update(bytes)
    size += bytes.length
    onBytes?.(bytes.length)
  }
  check(file, size, bytesToHex(hash.digest()))
  return new Blob(parts)
}

const nameOf = ({ url, sha256: sum }: RemoteFile): string => sum ?? `url-${bytesToHex(sha256(utf8ToBytes(url)))}`
const partOf = (file: RemoteFile) => `${nameOf(file)}.part`

/** @param start byte from which on the file is wanted */
async function asked({ url, path }: RemoteFile, start: number, signal?: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = start > 0 ? { range: `bytes=${start}-` } : {}
  let response: Response
  try {
    response = await fetch(url, { headers, ...(signal && { signal }) })
  } catch (cause) {
    signal?.throwIfAborted()
    throw new FetchError(
      `${path}: ${url} cannot be reached, or its server does not allow this page (CORS): ${(cause as Error).message}`,
      {
        cause,
      },
    )
  }
  if (response.ok && response.body) return response
  throw new FetchError(`${path}: ${url} answered ${response.status} ${response.statusText}`.trimEnd())
}

async function* bodyOf({ body }: Response, { path }: RemoteFile, signal?: AbortSignal): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const reader = (body as ReadableStream<Uint8Array<ArrayBuffer>>).getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield value
    }
  } catch (cause) {
    signal?.throwIfAborted()
    throw cause instanceof LangevinError
      ? cause
      : new FetchError(`${path}: the connection ended; open the model again, and the download goes on from there`, { cause })
  } finally {
    await reader.cancel().catch(() => undefined)
  }
}

function write(handle: SyncHandle, bytes: Uint8Array, at: number, { path, bytes: total }: RemoteFile): void {
  try {
    if (handle.write(bytes, { at }) === bytes.length) return
  } catch (cause) {
    if ((cause as Error).name !== 'QuotaExceededError') throw cause
  }
  // What has come stays, so that the download goes on once there is room.
  handle.truncate(at)
  handle.flush()
  throw new StorageFullError(
    `${path}: the browser gives this page no more room; ${megabytes(total - at)} of ${megabytes(total)} are missing. ` +
      'Free room on the disk or remove other data of this site, and open the model again; or open it with `keep: "memory"`',
  )
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`

function check({ path, url, bytes, sha256: expected }: RemoteFile, size: number, found: string): void {
  if (size !== bytes)
    throw new FetchError(`${path}: ${size} bytes came from ${url}, which should have ${bytes}; open the model again`)
  if (expected !== undefined && found !== expected)
    throw new FetchError(`${path}: ${url} gives another file than its listing says (SHA-256 ${found}, not ${expected})`)
}
