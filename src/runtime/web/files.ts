import { dirname, join, resolve } from './paths.ts'

/*
 * The files of this thread: what was mounted, and what the library writes, under Node's names for the calls that it makes.
 * A mounted file stays where it is, on the user's disk or in the origin's private file system, and its bytes are read by range
 * when they are asked for: synchronously, which browsers allow in workers alone.
 */

/** A thread's synchronous reader of blobs, which browsers have in workers. */
declare class FileReaderSync {
  readAsArrayBuffer(blob: Blob): ArrayBuffer
}

interface FileEntry {
  readonly inode: number
  content: Blob | Uint8Array<ArrayBuffer>
  readonly changed: number
}

const files = new Map<string, FileEntry>()
const folders = new Set(['/'])
const opened = new Map<number, { readonly path: string; readonly entry: FileEntry; position: number }>()
let lastInode = 0
let lastHandle = 2

function failure(code: string, call: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${call} '${path}'`), { code, syscall: call, path })
}

/** Puts files into a folder of this thread, by their paths in it. What had these paths before is replaced. */
export function mount(
  folder: string,
  contents: Iterable<readonly [path: string, content: Blob | Uint8Array<ArrayBuffer>]>,
): void {
  for (const [name, content] of contents) {
    const path = resolve(folder, join('/', name).slice(1))
    mkdirSync(dirname(path))
    const changed = content instanceof Uint8Array ? Date.now() : ((content as File).lastModified ?? 0)
    files.set(path, { inode: ++lastInode, content, changed })
  }
}

/** Takes a folder out, with all that lies in it. */
export const unmount = (folder: string): void => rmSync(folder, { recursive: true, force: true })

/** What a file holds: a mounted one as it was given, one that the library wrote from memory. @throws Error with Node's codes */
export function blobOf(path: string): Blob {
  const { content } = fileAt(path, 'open')
  return content instanceof Uint8Array ? new Blob([content]) : content
}

/** The files of a folder, by their paths in it. */
export function filesIn(folder: string): Map<string, Blob> {
  const start = `${resolve(folder)}/`
  const inside = [...files.keys()].filter((path) => path.startsWith(start))
  return new Map(inside.map((path) => [path.slice(start.length), blobOf(path)]))
}

function fileAt(path: string, call: string): FileEntry {
  const at = resolve(path)
  const entry = files.get(at)
  if (!entry) throw failure(folders.has(at) ? 'EISDIR' : 'ENOENT', call, path)
  return entry
}

const sizeOf = ({ content }: FileEntry) => (content instanceof Uint8Array ? content.byteLength : content.size)

function bytesOf(path: string, { content }: FileEntry, from: number, to: number): Uint8Array<ArrayBuffer> {
  if (content instanceof Uint8Array) return content.subarray(from, to)
  if (typeof FileReaderSync === 'undefined')
    throw new Error('files are read in a worker: start langevin in one (`import "langevin/web/worker"`)')
  try {
    return new Uint8Array(new FileReaderSync().readAsArrayBuffer(content.slice(from, to)))
  } catch {
    // The only reason that browsers give: the file was changed, moved or removed since it was chosen.
    throw failure('ESTALE', 'read', path)
  }
}

export const existsSync = (path: string): boolean => files.has(resolve(path)) || folders.has(resolve(path))

interface StatOptions {
  readonly throwIfNoEntry?: boolean
  readonly bigint?: boolean
}

function statOf(entry: FileEntry | undefined, bigint = false) {
  const [size, time, inode] = [entry ? sizeOf(entry) : 0, entry?.changed ?? 0, entry?.inode ?? 0]
  const kind = { isFile: () => entry !== undefined, isDirectory: () => entry === undefined, mtimeMs: time }
  return bigint
    ? { ...kind, dev: 0n, ino: BigInt(inode), size: BigInt(size), mtimeNs: BigInt(time) * 1_000_000n }
    : { ...kind, dev: 0, ino: inode, size }
}

export function statSync(path: string, { throwIfNoEntry = true, bigint }: StatOptions = {}) {
  const at = resolve(path)
  const entry = files.get(at)
  if (entry || folders.has(at)) return statOf(entry, bigint)
  if (throwIfNoEntry) throw failure('ENOENT', 'stat', path)
  return undefined
}

export const fstatSync = (handle: number, { bigint }: StatOptions = {}) => statOf(handleOf(handle).entry, bigint)

export function realpathSync(path: string): string {
  if (!existsSync(path)) throw failure('ENOENT', 'realpath', path)
  return resolve(path)
}

export function readFileSync(path: string, encoding?: 'utf8'): Uint8Array | string {
  const entry = fileAt(path, 'open')
  const bytes = bytesOf(path, entry, 0, sizeOf(entry))
  // Node keeps a byte order mark.
  return encoding ? new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes) : bytes
}

export function readdirSync(path: string): string[] {
  const at = resolve(path)
  if (!folders.has(at)) throw failure(files.has(at) ? 'ENOTDIR' : 'ENOENT', 'scandir', path)
  return [...files.keys(), ...folders]
    .filter((one) => one !== at && dirname(one) === at)
    .map((one) => one.slice(one.lastIndexOf('/') + 1))
}

/** Creates a folder with those above it. */
export function mkdirSync(path: string, _options?: unknown): void {
  for (let at = resolve(path); !folders.has(at); at = dirname(at)) {
    if (files.has(at)) throw failure('EEXIST', 'mkdir', path)
    folders.add(at)
  }
}

export function openSync(path: string, flags = 'r', _mode?: number): number {
  const at = resolve(path)
  if (flags !== 'r') {
    if (flags === 'wx' && existsSync(at)) throw failure('EEXIST', 'open', path)
    if (!folders.has(dirname(at))) throw failure('ENOENT', 'open', path)
    files.set(at, { inode: ++lastInode, content: new Uint8Array(), changed: Date.now() })
  }
  const handle = ++lastHandle
  opened.set(handle, { path, entry: fileAt(path, 'open'), position: 0 })
  return handle
}

function handleOf(handle: number) {
  const found = opened.get(handle)
  if (!found) throw failure('EBADF', 'file', String(handle))
  return found
}

export function closeSync(handle: number): void {
  handleOf(handle)
  opened.delete(handle)
}

export function readSync(handle: number, into: Uint8Array, offset: number, length: number, position: number): number {
  const { path, entry } = handleOf(handle)
  const bytes = bytesOf(path, entry, position, Math.min(position + length, sizeOf(entry)))
  into.set(bytes, offset)
  return bytes.length
}

export function writeSync(handle: number, bytes: Uint8Array, offset = 0, length = bytes.length - offset): number {
  const file = handleOf(handle)
  const { content } = file.entry
  if (!(content instanceof Uint8Array)) throw failure('EROFS', 'write', file.path)
  const end = file.position + length
  const room = content.buffer.byteLength
  // Twice the room at a time, so that a file written in parts is not copied for each.
  const buffer = end <= room ? content.buffer : content.buffer.transfer(Math.max(end, 2 * room))
  file.entry.content = new Uint8Array(buffer, 0, Math.max(end, content.length))
  file.entry.content.set(bytes.subarray(offset, offset + length), file.position)
  file.position = end
  return length
}

export function writeFileSync(target: number | string, content: string | Uint8Array): void {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content
  if (typeof target === 'number') {
    writeSync(target, bytes)
    return
  }
  const handle = openSync(target, 'w')
  writeSync(handle, bytes)
  closeSync(handle)
}

/** Memory has nothing to sync. */
export function fsyncSync(_handle: number): void {}

export function renameSync(from: string, to: string): void {
  const [source, target] = [resolve(from), resolve(to)]
  if (!existsSync(source)) throw failure('ENOENT', 'rename', from)
  for (const [path, entry] of [...files]) {
    if (path !== source && !path.startsWith(`${source}/`)) continue
    files.delete(path)
    files.set(target + path.slice(source.length), entry)
  }
  for (const path of [...folders]) {
    if (path !== source && !path.startsWith(`${source}/`)) continue
    folders.delete(path)
    folders.add(target + path.slice(source.length))
  }
}

export function rmSync(path: string, { recursive = false, force = false } = {}): void {
  const at = resolve(path)
  if (!existsSync(at)) {
    if (force) return
    throw failure('ENOENT', 'rm', path)
  }
  if (folders.has(at) && !recursive) throw failure('EISDIR', 'rm', path)
  for (const one of [...files.keys()]) if (one === at || one.startsWith(`${at}/`)) files.delete(one)
  for (const one of [...folders]) if (one !== '/' && (one === at || one.startsWith(`${at}/`))) folders.delete(one)
}
