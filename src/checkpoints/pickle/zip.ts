import { inflateRawSync } from '../../runtime/system.ts'
import { PickleError } from '../errors.ts'
import { readAt } from '../reading.ts'

/** One file of an archive. */
export interface ZipEntry {
  readonly name: string
  /** Bytes in the archive. */
  readonly packed: number
  /** Bytes of the content. */
  readonly size: number
  readonly method: number
  /** Where its local header begins. */
  readonly header: number
}

/** More than a checkpoint's archive has: one entry a tensor and a few beside. */
const mostEntries = 1_000_000

/**
 * The central directory of a ZIP archive, with the 64-bit fields that archives above 4 GB have (APPNOTE 6.3, sections 4.3.12–16).
 *
 * @throws PickleError
 */
export function zipEntries(fd: number, fileSize: number, file: string): Map<string, ZipEntry> {
  const fail = (reason: string): never => {
    throw new PickleError(file, `not an archive that can be read: ${reason}`)
  }
  const tail = readAt(fd, Math.max(0, fileSize - 65_557), new Uint8Array(Math.min(fileSize, 65_557)), file)
  const view = new DataView(tail.buffer)
  let at = tail.length - 22
  while (at >= 0 && view.getUint32(at, true) !== 0x06054b50) at--
  if (at < 0) fail('it has no end record, so it is cut short or none')
  const bytesAt = (offset: number, length: number): DataView => {
    if (offset < 0 || length < 0 || offset + length > fileSize) fail(`a record at byte ${offset} lies beyond its end`)
    return new DataView(readAt(fd, offset, new Uint8Array(length), file).buffer)
  }
  let count = view.getUint16(at + 10, true)
  let size = view.getUint32(at + 12, true)
  let start = view.getUint32(at + 16, true)
  if (count === 0xffff || size === 0xffffffff || start === 0xffffffff) {
    if (at < 20 || view.getUint32(at - 20, true) !== 0x07064b50) fail('its 64-bit end record is missing')
    const end = bytesAt(long(view, at - 12), 56)
    if (end.getUint32(0, true) !== 0x06064b50) fail('its 64-bit end record is damaged')
    count = long(end, 32)
    size = long(end, 40)
    start = long(end, 48)
  }
  if (count > mostEntries) fail(`${count} entries are more than a checkpoint has`)
  const directory = bytesAt(start, size)
  const entries = new Map<string, ZipEntry>()
  for (let i = 0, p = 0; i < count; i++) {
    if (p + 46 > size || directory.getUint32(p, true) !== 0x02014b50) fail(`entry ${i} of its directory is damaged`)
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((field) => directory.getUint16(p + field, true)) as [
      number,
      number,
      number,
    ]
    const next = p + 46 + nameLength + extraLength + commentLength
    if (next > size) fail(`entry ${i} of its directory ends beyond it`)
    const name = new TextDecoder().decode(new Uint8Array(directory.buffer, p + 46, nameLength))
    const fields = {
      size: directory.getUint32(p + 24, true),
      packed: directory.getUint32(p + 20, true),
      header: directory.getUint32(p + 42, true),
    }
    const wide = extraOf(new DataView(directory.buffer, p + 46 + nameLength, extraLength))
    for (const field of ['size', 'packed', 'header'] as const) {
      if (fields[field] === 0xffffffff) fields[field] = wide.shift() ?? fail(`entry ${i} lacks its 64-bit ${field}`)
    }
    if (directory.getUint16(p + 8, true) & 1) fail(`${JSON.stringify(name)} is encrypted`)
    if (entries.has(name)) fail(`${JSON.stringify(name)} is there twice`)
    entries.set(name, { name, ...fields, method: directory.getUint16(p + 10, true) })
    p = next
  }
  return entries
}

/** The 64-bit sizes of an entry's extra fields, in their order. */
function extraOf(extra: DataView): number[] {
  for (let at = 0; at + 4 <= extra.byteLength; ) {
    const [id, length] = [extra.getUint16(at, true), extra.getUint16(at + 2, true)]
    if (id === 1) {
      const many = Math.floor(Math.min(length, extra.byteLength - at - 4) / 8)
      return Array.from({ length: many }, (_, i) => long(extra, at + 4 + 8 * i))
    }
    at += 4 + length
  }
  return []
}

/** A 64-bit count; one above 2^53 is beyond any file, as infinity is. */
function long(view: DataView, at: number): number {
  const value = Number(view.getBigUint64(at, true))
  return Number.isSafeInteger(value) ? value : Infinity
}

/**
 * Where an entry's bytes begin in the archive, for one that is stored as it is.
 *
 * @throws PickleError
 */
export function storedAt(fd: number, fileSize: number, entry: ZipEntry, file: string): number {
  if (entry.method !== 0)
    throw new PickleError(file, `${JSON.stringify(entry.name)} is compressed, where PyTorch stores tensors as they are`)
  if (entry.packed !== entry.size)
    throw new PickleError(file, `${JSON.stringify(entry.name)} has two sizes, ${entry.packed} and ${entry.size}`)
  return dataAt(fd, fileSize, entry, file)
}

function dataAt(fd: number, fileSize: number, { name, packed, header }: ZipEntry, file: string): number {
  const bad = (): never => {
    throw new PickleError(file, `${JSON.stringify(name)} lies beyond the archive's end, or its header is damaged`)
  }
  if (header + 30 > fileSize) bad()
  const view = new DataView(readAt(fd, header, new Uint8Array(30), file).buffer)
  if (view.getUint32(0, true) !== 0x04034b50) bad()
  const start = header + 30 + view.getUint16(26, true) + view.getUint16(28, true)
  if (start + packed > fileSize) bad()
  return start
}

/**
 * An entry's content, of at most `most` bytes.
 *
 * @throws PickleError
 */
export function contentOf(fd: number, fileSize: number, entry: ZipEntry, most: number, file: string): Uint8Array {
  const { name, size, packed, method } = entry
  if (size > most || packed > most)
    throw new PickleError(file, `${JSON.stringify(name)} takes ${size} bytes, at most ${most} are read`)
  const bytes = readAt(fd, dataAt(fd, fileSize, entry, file), new Uint8Array(packed), file)
  if (method === 0) return bytes
  if (method !== 8) throw new PickleError(file, `${JSON.stringify(name)} is compressed by method ${method}`)
  try {
    return inflateRawSync(bytes, { maxOutputLength: Math.max(size, 1) })
  } catch (cause) {
    throw new PickleError(file, `${JSON.stringify(name)} cannot be unpacked: ${(cause as Error).message}`, { cause })
  }
}
