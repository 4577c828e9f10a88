import { bytesPer, type DType } from '../core/dtype.ts'
import type { FileTensor } from '../runtime/weights.ts'
import { quote, SafetensorsError } from './errors.ts'

/** The longest header that the format allows, in bytes. */
export const maxHeader = 100_000_000

/** PyTorch's and NumPy's limit too. */
const maxAxes = 64

/** The format's names of our dtypes. */
export const formatNames = { f32: 'F32', f16: 'F16', bf16: 'BF16', i32: 'I32', i64: 'I64', bool: 'BOOL', u8: 'U8' } as const
const dtypes = new Map<string, DType>(Object.entries(formatNames).map(([dtype, name]) => [name, dtype as DType]))

export interface Header {
  /** Free text of the file's author, without a prototype. */
  readonly metadata: Readonly<Record<string, string>>
  /** In the order of the data. Offsets count from the start of the file. */
  readonly tensors: ReadonlyMap<string, Omit<FileTensor, 'file'>>
}

interface Entry {
  readonly key: string
  readonly dtype: DType
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
    tensors: new Map(entries.map(({ key, dtype, shape, begin }) => [key, { dtype, shape, offset: start + begin }])),
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
  const dtype = dtypes.get(name)
  if (!dtype) return fail(`dtype ${quote(name)} is not supported: cast the tensor to one of ${[...dtypes.keys()].join(', ')}`)
  const [begin, end] = offsets
  if (begin === undefined || end === undefined) return fail('data_offsets are two numbers, begin and end')
  let size = bytesPer[dtype]
  for (const axis of shape) {
    size *= axis
    if (!Number.isSafeInteger(size)) return fail(`shape [${shape.join(', ')}] takes more than 2^53 bytes`)
  }
  if (end - begin !== size) {
    return fail(`${name} [${shape.join(', ')}] takes ${size} bytes, its data_offsets [${begin}, ${end}] span ${end - begin}`)
  }
  return { key, dtype, shape, begin, end }
}

/** All that a number, right or wrong, is written with. */
const numeral = /[-+.\w]*/y

/**
 * A cursor over a header. `JSON.parse` keeps the last of two equal keys without a word and rounds integers above 2^53, so the
 * header's small grammar is read here. Nothing nests, so nothing recurses.
 */
class Scanner {
  readonly #text: string
  readonly #file: string
  #at = 0

  constructor(text: string, file: string) {
    this.#text = text
    this.#file = file
  }

  #fail(reason: string, tensor?: string): never {
    throw new SafetensorsError(this.#file, `${reason} (character ${this.#at} of the header)`, { tensor })
  }

  /** The next character that is not white space; '' at the end. */
  #peek(): string {
    for (; ; this.#at++) {
      const c = this.#text[this.#at]
      if (c !== ' ' && c !== '\n' && c !== '\r' && c !== '\t') return c ?? ''
    }
  }

  #take(char: string): boolean {
    if (this.#peek() !== char) return false
    this.#at++
    return true
  }

  #expect(char: string, tensor?: string): void {
    if (!this.#take(char)) this.#fail(`expected '${char}', got ${quote(this.#peek())}`, tensor)
  }

  /** `{ key: value, … }`; `member` reads the value that belongs to the key. */
  object(member: (key: string) => void, tensor?: string): void {
    this.#expect('{', tensor)
    if (this.#take('}')) return
    const seen = new Set<string>()
    do {
      const key = this.string('a key')
      if (seen.has(key)) this.#fail(`duplicate key ${quote(key)}`, tensor)
      seen.add(key)
      this.#expect(':', tensor)
      member(key)
    } while (this.#take(','))
    this.#expect('}', tensor)
  }

  string(what: string): string {
    if (this.#peek() !== '"') this.#fail(`${what} must be a string`)
    let close = this.#at
    do close = this.#text.indexOf('"', close + 1)
    while (close >= 0 && this.#escaped(close))
    if (close < 0) this.#fail(`${what}: the string does not end`)
    let value: string
    try {
      value = JSON.parse(this.#text.slice(this.#at, close + 1))
    } catch {
      return this.#fail(`${what}: a string with a bad escape or a raw control character`)
    }
    if (!value.isWellFormed()) this.#fail(`${what}: a string with half a surrogate pair`)
    this.#at = close + 1
    return value
  }

  /** Whether an odd number of backslashes stands before a position. */
  #escaped(at: number): boolean {
    let from = at
    while (this.#text[from - 1] === '\\') from--
    return (at - from) % 2 === 1
  }

  /** `[n, n, …]` of integers from 0 to 2^53 − 1, at most `most` of them. */
  naturals(what: string, tensor: string, most: number): number[] {
    this.#expect('[', tensor)
    const values: number[] = []
    if (this.#take(']')) return values
    do {
      if (values.length === most) this.#fail(`${what}: more than ${most} numbers`, tensor)
      values.push(this.#natural(what, tensor))
    } while (this.#take(','))
    this.#expect(']', tensor)
    return values
  }

  #natural(what: string, tensor: string): number {
    this.#peek()
    numeral.lastIndex = this.#at
    const token = numeral.exec(this.#text)?.[0] ?? ''
    if (!/^(0|[1-9]\d{0,15})$/.test(token) || !Number.isSafeInteger(Number(token))) {
      this.#fail(`${what}: expected integers from 0 to 2^53 − 1, got ${quote(token || this.#peek())}`, tensor)
    }
    this.#at += token.length
    return Number(token)
  }

  end(): void {
    const next = this.#peek()
    if (next) this.#fail(`${quote(next)} after the end of the header`)
  }
}
