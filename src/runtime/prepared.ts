import { closeSync, mkdtempSync, openSync, readdirSync, readSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { bytesPer, convert, type DType, fromBfloatBits, fromHalfBits, type TypedArray, viewOf } from '../core/dtype.ts'
import type { Preparer, RawValue, StoredValue } from '../core/onnx/lower.ts'
import { type Arrangement, type RawTensor, rawTypes } from '../core/ops/op.ts'
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

type InFile = Extract<StoredValue, { file: string }>
type Result = Arrangement['results'][number]
const bytesOf = ({ type, shape }: Result) => sizeOf(shape) * rawTypes[type].array.BYTES_PER_ELEMENT

/**
 * Weights in the arrangements that a program's kernels take, made once. Those of weights in memory stay in memory; those of
 * weights in files go to a file that the engine maps: they take no memory twice, and what memory lacks can be read again.
 */
export class PreparedWeights implements Preparer {
  private folder: string | undefined
  private fd: number | undefined
  private end = 0
  private readonly inMemory: boolean
  private readonly rooms = { stored: new Scratch(), floats: new Scratch(), arranged: new Scratch() }

  /** @param weights all that may be prepared */
  constructor(weights: Weights) {
    const elements = [...weights.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0)
    this.inMemory = roomIn(MEMORY) > MOST_BYTES * elements
  }

  read(stored: StoredValue): Float32Array {
    const data = 'data' in stored ? stored.data : readInto(new ArrayBuffer(storedBytes(stored)), stored)
    return floats(stored.dtype, data, (length) => new Float32Array(length))
  }

  arrange(stored: StoredValue, { results, fill }: Arrangement): readonly RawValue[] {
    if ('data' in stored) return arranged(this.read(stored), { results, fill })
    const { rooms, end: start } = this
    const data = readInto(rooms.stored.of(storedBytes(stored)), stored)
    const values = floats(stored.dtype, data, (length) => new Float32Array(rooms.floats.of(4 * length), 0, length))
    const placed = results.map((result) => {
      const offset = this.end
      this.end += Math.ceil(bytesOf(result) / PAGE) * PAGE
      return { ...result, offset, length: bytesOf(result) }
    })
    const length = this.end - start
    const room = rooms.arranged.of(length)
    fill(
      values,
      placed.map(({ type, shape, offset }) => new rawTypes[type].array(room, offset - start, sizeOf(shape))),
    )
    const file = this.append(new Uint8Array(room, 0, length), start)
    return placed.map((result) => ({ ...result, file }))
  }

  /** No more weights come. */
  close(): void {
    if (this.fd !== undefined) closeSync(this.fd)
    this.fd = undefined
    for (const room of Object.values(this.rooms)) room.free()
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

  /** Writes bytes to the file, which is then made; its path. */
  private append(bytes: Uint8Array, offset: number): string {
    this.folder ??= temporaryFolder(this.inMemory ? MEMORY : cacheFolder('prepared'))
    const file = join(this.folder, 'weights.bin')
    try {
      this.fd ??= openSync(file, 'w')
      for (let done = 0; done < bytes.length; )
        done += writeSync(this.fd, bytes, done, Math.min(bytes.length - done, MOST_AT_ONCE), offset + done)
    } catch (cause) {
      const message = (cause as Error).message
      throw new EngineError(`${file} cannot be written: ${message}. Set LANGEVIN_CACHE to a folder with room for the weights`, {
        cause,
      })
    }
    return file
  }
}

/** A value's arrangements in memory. */
export function arranged(values: Float32Array, { results, fill }: Arrangement): RawTensor[] {
  const made = results.map((result) => ({ ...result, data: new rawTypes[result.type].array(sizeOf(result.shape)) }))
  fill(
    values,
    made.map(({ data }) => data),
  )
  return made
}

/** Bytes that the system reads or writes at a time, at most. */
const MOST_AT_ONCE = 2 ** 30

const storedBytes = ({ dtype, shape }: InFile) => sizeOf(shape) * bytesPer[dtype]

/** A stored weight, read to the start of a buffer. */
function readInto(buffer: ArrayBuffer, stored: InFile): TypedArray {
  const { file, offset } = stored
  const bytes = new Uint8Array(buffer, 0, storedBytes(stored))
  const fd = openSync(file, 'r')
  try {
    for (let done = 0; done < bytes.length; ) {
      const got = readSync(fd, bytes, done, Math.min(bytes.length - done, MOST_AT_ONCE), offset + done)
      if (got === 0) throw new EngineError(`${file} ends before a weight of ${bytes.length} bytes at ${offset}`)
      done += got
    }
  } finally {
    closeSync(fd)
  }
  return viewOf(stored.dtype, buffer, 0, sizeOf(stored.shape))
}

/** Memory that one weight after the other uses, freed at once at the end: fresh pages would cost more than what is calculated in them. */
class Scratch {
  private buffer = new ArrayBuffer(0)

  /** So many bytes or more, with what was in them. */
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

const tables = new Map<DType, Float32Array>()

/** Elements of any float type as f32; those of 16 bits by a table of all of them, into the room given. */
function floats(dtype: DType, data: TypedArray, room: (length: number) => Float32Array): Float32Array {
  if (data instanceof Float32Array) return data
  if (dtype !== 'f16' && dtype !== 'bf16') return convert(dtype, data, 'f32')
  const read = dtype === 'f16' ? fromHalfBits : fromBfloatBits
  const table = tables.get(dtype) ?? Float32Array.from({ length: 2 ** 16 }, (_, bits) => read(bits))
  tables.set(dtype, table)
  const out = room(data.length)
  for (let i = 0; i < out.length; i++) out[i] = table[data[i] as number] as number
  return out
}
