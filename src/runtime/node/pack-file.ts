import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import type { Range } from './packer.ts'
import { MOST_AT_ONCE } from './read.ts'

/*
 * A file of packed weights: their bytes at whole pages, then what lies where as JSON, then the JSON's length and checksum and
 * eight letters. Each weight has a checksum of its own, so that a damaged one is found before it is used.
 */

/** Of a format that is not this one: packed weights of other versions are not read. */
const MAGIC = 'lgvnpck1'
const TAIL = 16

/** A packed weight in a file. */
export interface Packed {
  readonly ranges: readonly Range[]
  /** Of all bytes from the first range to the end of the last one's page. */
  readonly start: number
  readonly length: number
  readonly crc: number
}

/** What a file holds, by the weights' keys. */
export type Contents = ReadonlyMap<string, Packed>

/** What goes after the packed weights. */
export function footerOf(contents: Contents): Uint8Array {
  const json = Buffer.from(JSON.stringify([...contents]))
  const tail = Buffer.alloc(TAIL)
  tail.writeUInt32LE(json.length, 0)
  tail.writeUInt32LE(crc32(json), 4)
  tail.write(MAGIC, 8, 'latin1')
  return Buffer.concat([json, tail])
}

/** What a file says that it holds; undefined where it is none of ours, or damaged. */
export function readContents(path: string): Contents | undefined {
  return withFile(path, (fd) => {
    const { size } = fstatSync(fd)
    const tail = read(fd, size - TAIL, TAIL)
    if (tail?.toString('latin1', 8) !== MAGIC) return undefined
    const length = tail.readUInt32LE(0)
    const json = read(fd, size - TAIL - length, length)
    return json && crc32(json) === tail.readUInt32LE(4) ? new Map(JSON.parse(json.toString())) : undefined
  })
}

/** Whether a packed weight is as it was written. */
export function isWhole(path: string, { start, length, crc }: Packed): boolean {
  const found = withFile(path, (fd) => {
    const chunk = Buffer.allocUnsafe(Math.min(length, 2 ** 22))
    let sum = 0
    for (let done = 0; done < length; ) {
      const got = readSync(fd, chunk, 0, Math.min(chunk.length, length - done, MOST_AT_ONCE), start + done)
      if (got === 0) return undefined
      sum = crc32(chunk.subarray(0, got), sum)
      done += got
    }
    return sum
  })
  return found === crc
}

function read(fd: number, position: number, length: number): Buffer | undefined {
  if (position < 0) return undefined
  const bytes = Buffer.alloc(length)
  return readSync(fd, bytes, 0, length, position) === length ? bytes : undefined
}

function withFile<T>(path: string, use: (fd: number) => T): T | undefined {
  try {
    const fd = openSync(path, 'r')
    try {
      return use(fd)
    } finally {
      closeSync(fd)
    }
  } catch {
    return undefined
  }
}
