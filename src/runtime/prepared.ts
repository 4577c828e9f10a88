import { closeSync, mkdtempSync, openSync, readdirSync, readSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { bytesPer, convert, fromBfloatBits, fromHalfBits, type TypedArray, viewOf } from '../core/dtype.ts'
import type { Prepare, RawValue, StoredValue } from '../core/onnx/lower.ts'
import type { RawTensor } from '../core/ops/op.ts'
import { sizeOf } from '../core/shape.ts'
import { cacheFolder } from './cache.ts'
import { EngineError } from './engine.ts'
import type { Weights } from './weights.ts'

/** Linux's folder of files in memory: what is never written to a disk is there sooner. */
const MEMORY = '/dev/shm'
/** Bytes that an element may take when arranged: Winograd's filters are 16 numbers for 9. */
const MOST_BYTES = 8

function roomIn(folder: string): number {
  try {
    const { bavail, bsize } = statfsSync(folder)
    return bavail * bsize
  } catch {
    return 0
  }
}

const PREFIX = 'langevin-weights-'
/** Milliseconds after which a folder is no longer taken for one that is being made. */
const STALE = 3_600_000

/** A folder for one program's weights. What programs left here that were killed while they compiled goes first. */
export function temporaryFolder(parent: string): string {
  for (const name of readdirSync(parent)) {
    const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1]
    if (pid === undefined || isRunning(Number(pid))) continue
    const folder = join(parent, name)
    const made = statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? Infinity
    if (Date.now() - made > STALE) rmSync(folder, { recursive: true, force: true })
  }
  return mkdtempSync(join(parent, `${PREFIX}${process.pid}-`))
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

/** Weights in a file start at whole pages, so that the engine can map them. */
const PAGE = 4096

/**
 * Weights in the arrangements that a program's kernels take, made once. Those of weights in memory stay in memory; those of
 * weights in files go to a file that the engine maps: they take no memory twice, and what memory lacks can be read again.
 */
export class PreparedWeights {
  private folder: string | undefined
  private fd: number | undefined
  private end = 0
  private readonly inMemory: boolean
  private readonly stored = new Scratch()
  private readonly arranged = new Scratch()

  /** @param weights all that may be prepared */
  constructor(weights: Weights) {
    const elements = [...weights.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0)
    this.inMemory = roomIn(MEMORY) > MOST_BYTES * elements
  }

  readonly prepare: Prepare = (stored, make) => {
    if ('data' in stored) return make(floats(stored, stored.data), (length) => new Float32Array(length))
    const size = sizeOf(stored.shape)
    const data = viewOf(stored.dtype, this.stored.of(size * bytesPer[stored.dtype]), 0, size)
    readInto(new Uint8Array(data.buffer, 0, data.byteLength), stored)
    const values = floats(stored, data)
    const made = make(values, (length) => new Float32Array(this.arranged.of(4 * length), 0, length))
    const kept = made.map((array) => this.put(array))
    // Hundreds of megabytes may come by before garbage is next collected.
    const own = [this.stored.buffer, this.arranged.buffer]
    for (const buffer of new Set([values, ...made.map(({ data }) => data)].map(({ buffer }) => buffer)))
      if (!own.includes(buffer as ArrayBuffer)) (buffer as ArrayBuffer).transfer(0)
    return kept
  }

  /** No more weights come. */
  close(): void {
    if (this.fd !== undefined) closeSync(this.fd)
    this.fd = undefined
    this.stored.free()
    this.arranged.free()
  }

  /** Removes the file; where a program has it mapped it lives on until the program is gone. On Windows it can go only then. */
  remove(): void {
    this.close()
    try {
      if (this.folder) rmSync(this.folder, { recursive: true, force: true })
    } catch (error) {
      if (process.platform !== 'win32') throw error
    }
  }

  private get file(): string {
    this.folder ??= temporaryFolder(this.inMemory ? MEMORY : cacheFolder('prepared'))
    return join(this.folder, 'weights.bin')
  }

  private put({ type, shape, data }: RawTensor): RawValue {
    const { file } = this
    const offset = Math.ceil(this.end / PAGE) * PAGE
    try {
      this.fd ??= openSync(file, 'w')
      writeAt(this.fd, new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset)
    } catch (cause) {
      const message = (cause as Error).message
      throw new EngineError(`${file} cannot be written: ${message}. Set LANGEVIN_CACHE to a folder with room for the weights`, {
        cause,
      })
    }
    this.end = offset + data.byteLength
    return { type, shape, file, offset, length: data.byteLength }
  }
}

function writeAt(fd: number, bytes: Uint8Array, offset: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(fd, bytes, done, Math.min(bytes.length - done, 2 ** 30), offset + done)
  }
}

/** Reads a stored weight into memory of its size. */
function readInto(bytes: Uint8Array, { file, offset }: { file: string; offset: number }): void {
  const fd = openSync(file, 'r')
  try {
    for (let done = 0; done < bytes.length; ) {
      const got = readSync(fd, bytes, done, Math.min(bytes.length - done, 2 ** 30), offset + done)
      if (got === 0) throw new EngineError(`${file} ends before a weight of ${bytes.length} bytes at ${offset}`)
      done += got
    }
  } finally {
    closeSync(fd)
  }
}

/** Memory that one weight after the other uses: fresh pages would cost more than what is calculated in them. */
class Scratch {
  buffer = new ArrayBuffer(0)

  /** Its first bytes, with anything in them. */
  of(bytes: number): ArrayBuffer {
    if (this.buffer.byteLength < bytes) {
      this.free()
      this.buffer = new ArrayBuffer(bytes)
    }
    return this.buffer
  }

  free(): void {
    this.buffer.transfer(0)
    this.buffer = new ArrayBuffer(0)
  }
}

const tables = new Map<string, Float32Array>()

/** Elements of any float type as f32; those of 16 bits by a table of all of them. */
function floats({ dtype }: StoredValue, data: TypedArray): Float32Array {
  if (data instanceof Float32Array) return data
  if (dtype !== 'f16' && dtype !== 'bf16') return convert(dtype, data, 'f32')
  const read = dtype === 'f16' ? fromHalfBits : fromBfloatBits
  const table = tables.get(dtype) ?? Float32Array.from({ length: 2 ** 16 }, (_, bits) => read(bits))
  tables.set(dtype, table)
  return Float32Array.from(data as Uint16Array, (bits) => table[bits] as number)
}
