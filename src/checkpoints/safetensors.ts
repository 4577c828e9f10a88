import { bytesPer, type DType, isFloat, viewOf } from '../core/dtype.ts'
import { sizeOf } from '../core/shape.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { checkStamp, fileStamp } from '../runtime/stamp.ts'
import { closeSync, extname, fstatSync } from '../runtime/system.ts'
import type { FileTensor } from '../runtime/weights.ts'
import { writeAll, writeAtomic } from './atomic.ts'
import { PickleError, quote, SafetensorsError } from './errors.ts'
import { type Header, type HeaderTensor, headerLength, maxHeader, parseHeader } from './header.ts'
import { openFile, readAt } from './reading.ts'
import { formatNames, lazyArray, readable, type StoredType, storedTypes } from './stored-types.ts'

export { parseHeader }

/** Float types that a checkpoint can be cast to as it is written. */
export type SaveFloat = 'f16' | 'f32'

const pickleEndings = new Set(['.ckpt', '.bin', '.pt', '.pth', '.pkl', '.pickle'])
const pageBytes = 2 ** 22

/**
 * Reads a file's header, and no tensor: each is left where it lies. Types that no array here has (F64, I16, F8 …) are arrays that
 * read and convert their elements when they are first used, so that one of them refuses nothing else.
 *
 * @throws SafetensorsError for a file that is missing or breaks a rule of the format, PickleError for a pickle
 */
export function openSafetensors(path: string): { metadata: Header['metadata']; tensors: Map<string, NdArray | FileTensor> } {
  const { fd, file } = openFile(path)
  try {
    const { size } = fstatSync(fd)
    const stamp = fileStamp(fd)
    const prefix = readAt(fd, 0, new Uint8Array(Math.min(size, 9)), path)
    refuseOthers(path, prefix)
    const length = headerLength(prefix, size, path)
    const { metadata, tensors } = parseHeader(readAt(fd, 0, new Uint8Array(8 + length), path), size, path)
    return { metadata, tensors: new Map(Array.from(tensors, ([key, tensor]) => [key, located(key, tensor, file, stamp)])) }
  } finally {
    closeSync(fd)
  }
}

/** A tensor in its file, or an array that reads itself where the file's type is none of ours. */
function located(key: string, { stored, ...tensor }: HeaderTensor, file: string, stamp: string): NdArray | FileTensor {
  const place = { ...tensor, file, stamp }
  return stored === undefined ? place : converted(key, stored, place)
}

/** An array that reads elements of a foreign type, named as the format does, when they are first used. */
export function converted(key: string, stored: string, tensor: FileTensor): NdArray {
  return lazyArray(tensor.dtype, tensor.shape, () => {
    const { bits, decode } = storedTypes.get(stored) as StoredType
    if (!decode) {
      throw new SafetensorsError(tensor.file, `${stored} cannot be read: cast it to one of ${readable.join(', ')}`, {
        tensor: key,
      })
    }
    const size = sizeOf(tensor.shape)
    const bytes = readBytes(tensor, size * (bits / 8))
    return decode(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), size)
  })
}

/** Bytes of a stored tensor from its start. @throws SafetensorsError, StaleFileError */
export function readBytes(tensor: Pick<FileTensor, 'file' | 'offset' | 'stamp'>, length: number): Uint8Array<ArrayBuffer> {
  const { fd } = openFile(tensor.file)
  try {
    const end = tensor.offset + length
    const { size } = fstatSync(fd)
    if (end > size) {
      throw new SafetensorsError(tensor.file, `a tensor ends at byte ${end} and the file at ${size}: the file has changed`)
    }
    checkStamp(tensor, fd)
    return readAt(fd, tensor.offset, new Uint8Array(length), tensor.file)
  } finally {
    closeSync(fd)
  }
}

/**
 * Copies a tensor into memory; one that is there already is given back.
 *
 * @throws SafetensorsError when the file no longer holds it, or a bool is neither 0 nor 1; StaleFileError when the file was replaced
 */
export function readTensor(tensor: NdArray | FileTensor): NdArray {
  if (!('file' in tensor)) return tensor
  const { dtype, shape, file, offset } = tensor
  const size = sizeOf(shape)
  const bytes = readBytes(tensor, size * bytesPer[dtype])
  const bad = dtype === 'bool' ? bytes.findIndex((byte) => byte > 1) : -1
  if (bad >= 0) throw new SafetensorsError(file, `byte ${offset + bad} is ${bytes[bad]}: a bool is 0 or 1`)
  return new NdArray(viewOf(dtype, bytes.buffer, 0, size), shape, dtype)
}

/**
 * Writes a file in one step (`writeAtomic`), tensor by tensor. Order, spelling and padding are the reference writer's, so the
 * bytes equal those of Python's `safetensors` for the same content; metadata are sorted, where the reference takes any order.
 *
 * @param tensors in memory or still in a file, which may be the one replaced
 * @param floats casts f32, f16 and bf16 tensors on the way
 * @throws SafetensorsError for a key that the format cannot hold or a number that f16 cannot; SaveError
 */
export function writeSafetensors(
  path: string,
  tensors: Iterable<readonly [string, NdArray | FileTensor]>,
  metadata: Readonly<Record<string, string>> = {},
  { floats }: { floats?: SaveFloat } = {},
): void {
  const sorted = arrange(path, tensors, floats)
  const header = encodeHeader(path, sorted, metadata)
  writeAtomic(path, (fd) => {
    writeAll(fd, header)
    for (const { key, tensor, dtype } of sorted) {
      if (dtype !== tensor.dtype) writeAll(fd, bytesOf(cast(path, key, readTensor(tensor), dtype)))
      else if ('file' in tensor) copy(tensor, fd)
      else writeAll(fd, bytesOf(tensor))
    }
  })
}

/** Bytes that a tensor takes in a file, cast to `floats` where it is a float. */
export function storedSize({ dtype, shape }: Pick<FileTensor, 'dtype' | 'shape'>, floats?: SaveFloat): number {
  return sizeOf(shape) * bytesPer[storedType(dtype, floats)]
}

const storedType = (dtype: DType, floats?: SaveFloat): DType => (floats && isFloat(dtype) ? floats : dtype)

const bytesOf = ({ data }: NdArray): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)

interface Placed {
  readonly key: string
  readonly tensor: NdArray | FileTensor
  readonly dtype: DType
}

/** The reference's order of dtypes in a file: wider first, and its own among equals. */
const writingOrder: readonly DType[] = ['i64', 'f32', 'i32', 'bf16', 'f16', 'u8', 'bool']

/** By dtype, then by key as UTF-8 bytes. */
function arrange(path: string, tensors: Iterable<readonly [string, NdArray | FileTensor]>, floats?: SaveFloat): Placed[] {
  const placed = new Map<string, Placed & { rank: number; bytes: Uint8Array }>()
  for (const [key, tensor] of tensors) {
    const fault = placed.has(key) ? 'given twice' : keyFault(key)
    if (fault) throw new SafetensorsError(path, fault, { tensor: key })
    const dtype = storedType(tensor.dtype, floats)
    placed.set(key, { key, tensor, dtype, rank: writingOrder.indexOf(dtype), bytes: new TextEncoder().encode(key) })
  }
  return [...placed.values()].sort((a, b) => a.rank - b.rank || compareBytes(a.bytes, b.bytes))
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const at = a.findIndex((byte, i) => byte !== b[i])
  return at < 0 ? a.length - b.length : (a[at] as number) - (b[at] ?? -1)
}

/** Why the format cannot hold a key, if it cannot. */
function keyFault(key: string): string | undefined {
  if (key === '__metadata__') return 'the format keeps this key for its metadata'
  return key.isWellFormed() ? undefined : 'the key has half a surrogate pair'
}

function encodeHeader(path: string, placed: readonly Placed[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const members: string[] = []
  const texts = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1))
  for (const [name, value] of texts) {
    if (typeof value !== 'string') throw new SafetensorsError(path, `metadata ${quote(name)} is a ${typeof value}: give a string`)
    if (!name.isWellFormed() || !value.isWellFormed()) {
      throw new SafetensorsError(path, `metadata ${quote(name)} has half a surrogate pair`)
    }
  }
  const pairs = texts.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`)
  if (pairs.length > 0) members.push(`"__metadata__":{${pairs.join(',')}}`)
  let offset = 0
  for (const { key, tensor, dtype } of placed) {
    const end = offset + storedSize({ dtype, shape: tensor.shape })
    const shape = tensor.shape.join(',')
    members.push(`${JSON.stringify(key)}:{"dtype":"${formatNames[dtype]}","shape":[${shape}],"data_offsets":[${offset},${end}]}`)
    offset = end
  }
  const text = new TextEncoder().encode(`{${members.join(',')}}`)
  const length = Math.ceil(text.length / 8) * 8
  if (length > maxHeader) {
    throw new SafetensorsError(path, `a header of ${length} bytes, where the format allows ${maxHeader}: split the checkpoint`)
  }
  const header = new Uint8Array(8 + length).fill(0x20)
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true)
  header.set(text, 8)
  return header
}

/** A cast that refuses to turn a finite number into infinity. */
function cast(path: string, key: string, array: NdArray, dtype: DType): NdArray {
  const out = array.cast(dtype)
  if (dtype !== 'f16') return out
  const at = (out.data as Uint16Array).findIndex((bits, i) => (bits & 0x7fff) === 0x7c00 && isFiniteAt(array, i))
  if (at < 0) return out
  const value = array.cast('f32').data[at]
  throw new SafetensorsError(path, `element ${at} is ${value}, beyond f16's 65504: save it as f32`, { tensor: key })
}

function isFiniteAt({ dtype, data }: NdArray, i: number): boolean {
  const value = data[i] as number
  return dtype === 'bf16' ? (value & 0x7f80) !== 0x7f80 : Number.isFinite(value)
}

/** A tensor's bytes from its file to another, a page at a time. */
function copy(tensor: FileTensor, to: number): void {
  const { dtype, shape, file, offset } = tensor
  const { fd } = openFile(file)
  try {
    checkStamp(tensor, fd)
    const end = offset + storedSize({ dtype, shape })
    const page = new Uint8Array(Math.min(pageBytes, end - offset))
    for (let at = offset; at < end; at += page.length) {
      writeAll(to, readAt(fd, at, page.subarray(0, Math.min(page.length, end - at)), file))
    }
  } finally {
    closeSync(fd)
  }
}

/**
 * Refuses what is often found under a checkpoint's name. A pickle's first bytes can be those of a good header's length (640 is
 * 80 02 00 …, as a pickle starts), so a file that goes on as safetensors does is none.
 */
function refuseOthers(path: string, prefix: Uint8Array): void {
  const view = new DataView(prefix.buffer)
  if (prefix.length === 9 && prefix[8] === 0x7b && view.getBigUint64(0, true) <= maxHeader) return
  if (new TextDecoder().decode(prefix).startsWith('version ')) {
    throw new SafetensorsError(path, `a Git LFS pointer in the file's place: fetch the file itself with 'git lfs pull'`)
  }
  const zip = prefix[0] === 0x50 && prefix[1] === 0x4b
  const pickle = prefix[0] === 0x80 && (prefix[1] as number) <= 5
  if (zip || pickle || pickleEndings.has(extname(path).toLowerCase())) throw new PickleError(path)
}
