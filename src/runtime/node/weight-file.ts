import { closeSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { inWords } from '../../core/system-error.ts'
import { EngineError } from '../engine-error.ts'
import { cacheFolder } from './cache.ts'
import { MOST_AT_ONCE } from './read.ts'
import { temporaryFolder } from './temporary-folder.ts'

/** Linux's folder of files in memory: what is never written to a disk is there sooner. */
const MEMORY = '/dev/shm'

/** Bytes that a folder's file system has room for. */
export function roomIn(folder: string): number {
  try {
    const { bavail, bsize } = statfsSync(folder)
    return bavail * bsize
  } catch {
    return 0
  }
}

/** A file that weights are written into, one after another. */
export class WeightFile {
  readonly path: string
  private fd: number | undefined
  private end = 0

  constructor(path: string) {
    this.path = path
    try {
      this.fd = openSync(path, 'w')
    } catch (cause) {
      throw cannotWrite(path, cause)
    }
  }

  /** Bytes written so far. */
  get size(): number {
    return this.end
  }

  /** @returns where the bytes begin */
  append(bytes: Uint8Array): number {
    const start = this.end
    try {
      for (let done = 0; done < bytes.length; )
        done += writeSync(this.fd as number, bytes, done, Math.min(bytes.length - done, MOST_AT_ONCE), start + done)
    } catch (cause) {
      throw cannotWrite(this.path, cause)
    }
    this.end += bytes.length
    return start
  }

  close(): void {
    if (this.fd !== undefined) closeSync(this.fd)
    this.fd = undefined
  }
}

const cannotWrite = (path: string, cause: unknown) =>
  new EngineError(
    `${path} cannot be written: ${inWords(cause)}. Set LANGEVIN_CACHE to a folder with room for the packed weights`,
    { cause },
  )

/** A file for one program's weights, in memory where the system and this process's limits have room for so many bytes. */
export class TemporaryWeightFile extends WeightFile {
  private readonly folder: string

  constructor(bytes: number) {
    // A file in memory counts for the process's own limit, which the file system does not know.
    const fits = Math.min(roomIn(MEMORY), process.availableMemory() / 2) > bytes
    const folder = temporaryFolder(fits ? MEMORY : cacheFolder('temporary'))
    super(join(folder, 'weights.bin'))
    this.folder = folder
  }

  /** Removes the file; where a program has it mapped it lives on until the program is gone. On Windows it can go only then. */
  remove(): void {
    this.close()
    try {
      rmSync(this.folder, { recursive: true, force: true })
    } catch (error) {
      if (process.platform !== 'win32') throw error
    }
  }
}
