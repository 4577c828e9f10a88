import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bytesOfStored } from '../../core/onnx/stored.ts'
import type { FileRange, StoredValue } from '../../core/onnx/types.ts'
import { fileStamp } from '../stamp.ts'
import { readFully } from './read.ts'
import { namesIn } from './temporary-folder.ts'

/** Bytes that are hashed at a time. */
const CHUNK = 2 ** 24
/** Milliseconds after a file's last change within which another might leave its stamp as it is. */
const SETTLED = 2000

interface Known {
  readonly stamp: string
  readonly digests: Record<string, string>
}

/** SHA-256 of weights in files, each calculated once while the file's stamp stays the same. */
export class Digests {
  private readonly folder: string
  private readonly known = new Map<string, Known>()
  private readonly changed = new Set<string>()

  /** @param folder where they are kept for other processes */
  constructor(folder: string) {
    this.folder = folder
  }

  of(stored: StoredValue & FileRange): string {
    const { file, offset } = stored
    const length = bytesOfStored(stored)
    const { digests } = this.ofFile(file)
    const key = `${offset}:${length}`
    const known = digests[key]
    if (known) return known
    const hash = createHash('sha256')
    const chunk = new Uint8Array(Math.min(CHUNK, length))
    for (let done = 0; done < length; done += CHUNK) {
      const part = chunk.subarray(0, Math.min(CHUNK, length - done))
      hash.update(readFully({ ...stored, offset: offset + done }, part))
    }
    const digest = hash.digest('hex')
    digests[key] = digest
    this.changed.add(file)
    return digest
  }

  /** Keeps what was calculated since the last time. Where that fails it is calculated again. */
  save(): void {
    for (const file of this.changed) {
      const { stamp, digests } = this.known.get(file) as Known
      const age = Date.now() - Number(BigInt(stamp.split(' ')[3] as string) / 1_000_000n)
      if (age > SETTLED) this.write(file, { stamp, digests })
    }
    this.changed.clear()
  }

  /** Forgets all files. */
  clear(): void {
    this.known.clear()
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** Forgets files that are gone. */
  prune(): void {
    for (const name of namesIn(this.folder)) {
      const path = join(this.folder, name)
      try {
        if (existsSync(JSON.parse(readFileSync(path, 'utf8')).file)) continue
      } catch {
        // Damaged.
      }
      rmSync(path, { force: true })
    }
  }

  private write(file: string, known: Known): void {
    const path = this.pathOf(file)
    const part = `${path}.${process.pid}.part`
    try {
      mkdirSync(this.folder, { recursive: true })
      writeFileSync(part, JSON.stringify({ file, ...known }))
      renameSync(part, path)
    } catch {
      rmSync(part, { force: true })
    }
  }

  private ofFile(file: string): Known {
    const stamp = fileStamp(file)
    const known = this.known.get(file) ?? this.read(file)
    const current = known?.stamp === stamp ? known : { stamp, digests: {} }
    this.known.set(file, current)
    return current
  }

  private read(file: string): Known | undefined {
    try {
      const { stamp, digests } = JSON.parse(readFileSync(this.pathOf(file), 'utf8')) as Known
      return typeof stamp === 'string' && typeof digests === 'object' ? { stamp, digests } : undefined
    } catch {
      return undefined
    }
  }

  private pathOf(file: string): string {
    return join(this.folder, `${createHash('sha256').update(file).digest('hex').slice(0, 32)}.json`)
  }
}
