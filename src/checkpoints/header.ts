import type { FileTensor } from '../runtime/weights.ts'
import { quote, SafetensorsError } from './errors.ts'
import { Scanner } from './header-scanner.ts'
import { readable, type StoredType, storedTypes } from './stored-types.ts'

/** The longest header that the format allows, in bytes. */
export const maxHeader = 100_000_000

/** PyTorch's and NumPy's limit too. */
const maxAxes = 64

/** A tensor's place in its file. */
export interface HeaderTensor extends Omit<FileTensor, 'file' | 'stamp'> {
  /** The format's name of a type that no array here has, as `F64`: its elements become `dtype` when they are read. */
  readonly stored?: string
}

export interface Header {
  /** Free text of the file's author, without a prototype. */
  readonly metadata: Readonly<Record<string, string>>
  /** In the order of the data. Offsets count from the start of the file. */
  readonly tensors: ReadonlyMap<string, HeaderTensor>
}

interface Entry {
  readonly key: string
  readonly type: StoredType
  readonly shape: readonly number[]
  readonly begin: number
  readonly end: number
}

/**
 * The length of the JSON after a file's first 8 bytes.
 *
 * @throws SafetensorsError when it exceeds 100 MB or the file.
 */
export function headerLength(prefix: Uint8Array, fileSize: number, file: string): number {
  if (prefix.length < 8 || fileSize < 8) {
    throw new SafetensorsError(file, `${fileSize} bytes are too few: the file starts with the header's length, 8 bytes`)
  }
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true)
  if (length > maxHeader) {
    const reason = `a header of ${length} bytes, where the format allows ${maxHeader}: not a safetensors file, or a damaged one`
    throw new SafetensorsError(file, reason)
  }
  if (8 + Number(length) > fileSize) {
    throw new SafetensorsError(file, `a header of ${length} bytes in a file of ${fileSize}: the file is cut short`)
  }
  return Number(length)
}

/**
 * Reads a header by every rule of the format: no duplicate key, no hole, no overlap, sizes that agree with shapes, and data
 * that end with the file. Duplicates inside `__metadata__` or a tensor's fields, and fields that the format does not know, are
 * refused too.
 *
 * @param bytes the file from its first byte, at least to the end of the header
 * @param fileSize the whole file's length in bytes
 * @param file its name in errors
 * @throws SafetensorsError that names the rule and the tensor
 */
export function parseHeader(bytes: Uint8Array, fileSize: number, file = 'safetensors'): Header {
  const start = 8 + headerLength(bytes, fileSize, file)
  if (bytes.length < start) throw new SafetensorsError(file, `${bytes.length} bytes do not hold the header of ${start}`)
  if (bytes[8] !== 0x7b) throw new SafetensorsError(file, `the header must start with '{'`)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, start))
  } catch (cause) {
    throw new SafetensorsError(file, 'the header is not valid UTF-8', { cause })
  }
  const { metadata, entries } = readEntries(new Scanner(text, file), file)
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end)
  checkLayout(entries, fileSize - start, file)
  return {
    metadata,
    tensors: new Map(
      entries.map(({ key, type: { name, dtype, decode }, shape, begin }) => [
        key,
        { dtype, shape, offset: start + begin, ...(decode !== undefined && { stored: name }) },
      ]),
    ),
  }
}

/** Tensors tile the data: each begins where the one before ends, the last ends with the file. */
function checkLayout(entries: readonly Entry[], dataSize: number, file: string): void {
  let end = 0
  let before = 'the start of the data'
  for (const entry of entries) {
    if (entry.begin !== end) {
      const fault = entry.begin < end ? 'overlaps' : `leaves a hole of ${entry.begin - end} bytes after`
      throw new SafetensorsError(file, `begins at ${entry.begin} and ${fault} ${before}, which ends at ${end}`, {
        tensor: entry.key,
      })
    }
    end = entry.end
    before = quote(entry.key)
  }
  if (end > dataSize) {
    throw new SafetensorsError(file, `the tensors take ${end} bytes and the file holds ${dataSize}: it is cut short`)
  }
  if (end < dataSize) throw new SafetensorsError(file, `${dataSize - end} bytes follow the last tensor`)
}

function readEntries(scan: Scanner, file: string): { metadata: Header['metadata']; entries: Entry[] } {
  const metadata: Record<string, string> = Object.create(null)
  const entries: Entry[] = []
  scan.object((key) => {
    if (key === '__metadata__') {
      scan.object((name) => {
        metadata[name] = scan.string(`__metadata__ maps strings to strings: the value of ${quote(name)}`)
      })
    } else {
      entries.push(readEntry(scan, key, file))
    }
  })
  scan.end()
  return { metadata, entries }
}

function readEntry(scan: Scanner, key: string, file: string): Entry {
  let name: string | undefined
  let shape: number[] | undefined
  let offsets: number[] | undefined
  const fail = (reason: string): never => {
    throw new SafetensorsError(file, reason, { tensor: key })
  }
  scan.object((field) => {
    if (field === 'dtype') name = scan.string('dtype')
    else if (field === 'shape') shape = scan.naturals('shape', key, maxAxes)
    else if (field === 'data_offsets') offsets = scan.naturals('data_offsets', key, 2)
    else fail(`unknown field ${quote(field)}: the format has dtype, shape and data_offsets`)
  }, key)
  if (name === undefined || !shape || !offsets) return fail('needs dtype, shape and data_offsets')
  const type = storedTypes.get(name)
  if (!type) return fail(`dtype ${quote(name)} is not supported: cast the tensor to one of ${readable.join(', ')}`)
  const [begin, end] = offsets
  if (begin === undefined || end === undefined) return fail('data_offsets are two numbers, begin and end')
  let size = type.bits / 8
  for (const axis of shape) {
    size *= axis
    if (size > Number.MAX_SAFE_INTEGER) return fail(`shape [${shape.join(', ')}] takes more than 2^53 bytes`)
  }
  if (end - begin !== size) {
    return fail(`${name} [${shape.join(', ')}] takes ${size} bytes, its data_offsets [${begin}, ${end}] span ${end - begin}`)
  }
  return { key, type, shape, begin, end }
}
