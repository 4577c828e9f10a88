import { createHash } from 'node:crypto'
import { renameSync, rmSync, statSync, utimesSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { LangevinError } from '../../core/errors.ts'
import type { PackRequest } from '../../core/graph.ts'
import type { FileRange, StoredValue } from '../../core/onnx/types.ts'
import { cacheFolder, cacheLimit, isCacheOff } from './cache.ts'
import { Digests } from './digests.ts'
import { type Contents, footerOf, isWhole, type Packed, readContents } from './pack-file.ts'
import { layOut, type WeightPacker } from './packer.ts'
import { namesIn, removeLeft } from './temporary-folder.ts'
import { roomIn, WeightFile } from './weight-file.ts'

/** Changes with the code that packs, wherever equal weights are then packed to other bytes. */
const VERSION = 1
const SUFFIX = '.pack'
const LEFT = /^\d+-[0-9a-f]+-(\d+)\.part$/

/** A request for a weight that lies in a file. */
export type FileRequest = PackRequest & { readonly stored: FileRange }

/** Where a weight's packed form lies, and the file's use until `done`. */
export interface Kept {
  readonly file: string
  readonly packed: Packed
}

/**
 * Packed weights on disk, by the content of what was packed: made once, mapped by every process that opens the same model.
 * The least recently used files go when there is no room.
 */
export class PackStore {
  readonly folder: string
  private readonly limit: number
  private readonly digests: Digests
  private readonly packs = new Map<string, Contents>()
  private readonly whole = new Set<Packed>()
  /** Programs that are being compiled from a file. */
  private readonly uses = new Map<string, number>()
  private readonly parts = new Map<string, string>()
  private readonly saving = new Set<Promise<void>>()

  constructor(folder: string, limit: number) {
    this.folder = folder
    this.limit = limit
    this.digests = new Digests(join(folder, 'digests'))
    removeLeft(folder, LEFT)
  }

  /** Names what a request packs, by content. */
  keyOf({ stored, needed, packing: { form, results } }: FileRequest): string {
    const values = [stored, ...needed].map((value) => [value.dtype, value.shape, this.digestOf(value)])
    return sha256(JSON.stringify([VERSION, form, results.map(({ type, shape }) => [type, shape]), values]))
  }

  private digestOf(value: StoredValue): string {
    if ('file' in value) return this.digests.of(value)
    const { buffer, byteOffset, byteLength } = value.data
    return sha256(new Uint8Array(buffer, byteOffset, byteLength))
  }

  /** Whether so many bytes may be kept here. */
  hasRoomFor(bytes: number): boolean {
    return bytes <= this.limit && roomIn(this.folder) > bytes + 2 ** 28
  }

  /**
   * Where each request's packed weights lie: found, or packed now into one file.
   * @returns the places, and what to call when the program has them mapped
   */
  place(requests: readonly FileRequest[], packer: WeightPacker): { readonly kept: Kept[]; readonly done: () => void } {
    const keys = requests.map((request) => this.keyOf(request))
    this.digests.save()
    const found = this.find(new Set(keys))
    const missing = new Map(
      requests.map((request, i) => [keys[i] as string, request]).filter(([key]) => !found.has(key as string)) as [
        string,
        FileRequest,
      ][],
    )
    for (const [key, kept] of missing.size > 0 ? this.pack(missing, packer) : []) found.set(key, kept)
    const kept = keys.map((key) => found.get(key) as Kept)
    const files = new Set(kept.map(({ file }) => file))
    for (const file of files) this.uses.set(file, (this.uses.get(file) ?? 0) + 1)
    return { kept, done: () => this.leave(files) }
  }

  /** All files, the least recently used first. */
  files(): { readonly path: string; readonly bytes: number; readonly used: Date; readonly weights: number }[] {
    const files = this.names().flatMap((name) => {
      const path = join(this.folder, name)
      const stat = statSync(path, { throwIfNoEntry: false })
      return stat ? [{ path, bytes: stat.size, used: stat.mtime, weights: readContents(path)?.size ?? 0 }] : []
    })
    return files.sort((a, b) => a.used.getTime() - b.used.getTime())
  }

  /** Removes all of them. A program that has one mapped keeps it until it is released. */
  clear(): void {
    for (const { path } of this.files()) rmSync(path, { force: true })
    this.digests.clear()
    this.refresh()
  }

  /** Ends once everything that was packed lies in its place. */
  async settled(): Promise<void> {
    await Promise.all(this.saving)
  }

  private find(keys: ReadonlySet<string>): Map<string, Kept> {
    this.refresh()
    const found = new Map<string, Kept>()
    for (const [file, contents] of this.packs) {
      const wanted = [...contents].filter(([key]) => keys.has(key) && !found.has(key))
      if (wanted.length === 0) continue
      if (wanted.every(([, packed]) => this.isWhole(file, packed))) {
        for (const [key, packed] of wanted) found.set(key, { file, packed })
        touch(file)
      } else {
        this.packs.delete(file)
        rmSync(file, { force: true })
      }
    }
    return found
  }

  private isWhole(file: string, packed: Packed): boolean {
    if (!this.whole.has(packed) && isWhole(file, packed)) this.whole.add(packed)
    return this.whole.has(packed)
  }

  /** Looks at what other processes made and removed. */
  private refresh(): void {
    const there = new Set(this.names().map((name) => join(this.folder, name)))
    for (const file of this.packs.keys()) if (!there.has(file) && !this.parts.has(file)) this.packs.delete(file)
    for (const file of there) {
      if (this.packs.has(file)) continue
      const contents = readContents(file)
      if (contents) this.packs.set(file, contents)
      else rmSync(file, { force: true })
    }
  }

  private names(): string[] {
    return namesIn(this.folder).filter((name) => name.endsWith(SUFFIX))
  }

  private pack(requests: ReadonlyMap<string, FileRequest>, packer: WeightPacker): [string, Kept][] {
    const part = new WeightFile(join(this.folder, `${Date.now()}-${random()}-${process.pid}.part`))
    const contents = new Map<string, Packed>()
    try {
      for (const [key, request] of requests) {
        const start = part.size
        const bytes = packer.pack(request)
        part.append(bytes)
        contents.set(key, { ranges: layOut(request, start).ranges, start, length: bytes.length, crc: crc32(bytes) })
      }
      part.append(footerOf(contents))
    } catch (error) {
      part.close()
      rmSync(part.path, { force: true })
      throw error
    }
    part.close()
    for (const packed of contents.values()) this.whole.add(packed)
    this.packs.set(part.path, contents)
    this.parts.set(part.path, join(this.folder, sha256([...contents.keys()].join()).slice(0, 32) + SUFFIX))
    return [...contents].map(([key, packed]) => [key, { file: part.path, packed }])
  }

  private leave(files: ReadonlySet<string>): void {
    for (const file of files) {
      const uses = (this.uses.get(file) ?? 1) - 1
      if (uses > 0) this.uses.set(file, uses)
      else this.uses.delete(file)
      if (uses === 0 && this.parts.has(file)) this.save(file)
    }
  }

  /** Gives a new file its name, once it is on the disk; meanwhile the program runs. */
  private save(part: string): void {
    const saving: Promise<void> = sync(part)
      .then(() => this.rename(part))
      .catch(() => rmSync(part, { force: true }))
      .finally(() => this.saving.delete(saving))
    this.saving.add(saving)
  }

  private rename(part: string): void {
    // Another program is being compiled from it: that one will save it.
    if (this.uses.has(part)) return
    const path = this.parts.get(part)
    const contents = this.packs.get(part)
    if (!path || !contents) return
    renameSync(part, path)
    this.parts.delete(part)
    this.packs.delete(part)
    this.packs.set(path, contents)
    this.prune()
    this.digests.prune()
  }

  private prune(): void {
    const files = this.files()
    let total = files.reduce((sum, { bytes }) => sum + bytes, 0)
    for (const { path, bytes } of files) {
      if (total <= this.limit) return
      if (this.uses.has(path)) continue
      rmSync(path, { force: true })
      this.packs.delete(path)
      total -= bytes
    }
  }
}

const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest('hex')
const random = () => Math.floor(Math.random() * 2 ** 32).toString(16)

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r+')
  await handle.sync().finally(() => handle.close())
}

function touch(file: string): void {
  try {
    utimesSync(file, new Date(), new Date())
  } catch {
    // Another user's: it stays as recently used as its owner used it.
  }
}

const stores = new Map<string, PackStore>()

/** The store of this process's cache folder; undefined where packed weights are not to be kept, or cannot be. */
export function packStore(): PackStore | undefined {
  if (isCacheOff()) return undefined
  try {
    const folder = cacheFolder('packed')
    const store = stores.get(folder) ?? new PackStore(folder, cacheLimit())
    stores.set(folder, store)
    return store
  } catch (error) {
    if (error instanceof LangevinError) return undefined
    throw error
  }
}
