import { ArgumentError } from '../core/errors.ts'
import { ImageError } from './errors.ts'

// A picture's settings in JPEG and WebP: the Exif tag UserComment (CIPA DC-008, 4.6.5), as AUTOMATIC1111's web UI writes it.

const [exifTag, commentTag, byteOrderMark] = [0x8769, 0x9286, 0x4d4d]
/** Most bytes of a comment: what one JPEG segment holds. */
const maxComment = 65_000

/** An Exif block whose only entry is a user comment, in UTF-16. @throws ArgumentError for more than a JPEG holds */
export function exifComment(text: string): Buffer {
  const utf16 = Buffer.from(text, 'utf16le').swap16()
  const comment = Buffer.concat([Buffer.from('UNICODE\0', 'latin1'), utf16])
  if (comment.length > maxComment)
    throw new ArgumentError(`Exif: ${text.length} characters of settings; JPEG and WebP keep ${(maxComment - 8) / 2}. Save a PNG`)
  const directory = (tag: number, type: number, count: number, value: number) => {
    const out = Buffer.alloc(18)
    out.writeUInt16BE(1, 0)
    out.writeUInt16BE(tag, 2)
    out.writeUInt16BE(type, 4)
    out.writeUInt32BE(count, 6)
    out.writeUInt32BE(value, 10)
    return out
  }
  const head = Buffer.from([0x4d, 0x4d, 0, 42, 0, 0, 0, 8])
  return Buffer.concat([head, directory(exifTag, 4, 1, 26), directory(commentTag, 7, comment.length, 44), comment])
}

/** The user comment of an Exif block, or undefined. Anything that points out of the block is as if it were not there. */
export function commentOf(block: Uint8Array): string | undefined {
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.length)
  if (bytes.length < 8) return undefined
  const big = bytes.readUInt16BE(0) === byteOrderMark
  const u16 = (at: number) => (at + 2 > bytes.length ? 0 : big ? bytes.readUInt16BE(at) : bytes.readUInt16LE(at))
  const u32 = (at: number) => (at + 4 > bytes.length ? 0 : big ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at))
  const entry = (at: number, tag: number) => {
    const count = u16(at)
    for (let i = 0; i < count && at + 14 + i * 12 <= bytes.length; i++) if (u16(at + 2 + i * 12) === tag) return at + 2 + i * 12
    return undefined
  }
  const pointer = entry(u32(4), exifTag)
  const comment = pointer === undefined ? undefined : entry(u32(pointer + 8), commentTag)
  if (comment === undefined) return undefined
  const length = u32(comment + 4)
  const from = length > 4 ? u32(comment + 8) : comment + 8
  if (length < 8 || from + length > bytes.length) return undefined
  const charset = bytes.toString('latin1', from, from + 8)
  const text = bytes.subarray(from + 8, from + length)
  if (charset !== 'UNICODE\0') return text.toString('utf8').replace(/\0+$/, '')
  // Writers differ in the order of the bytes, whatever that of the block is: most settings begin with Latin letters.
  const even = Buffer.from(text.subarray(0, text.length & ~1))
  const zeros = (first: number) => even.filter((byte, i) => i % 2 === first && byte === 0).length
  return (zeros(0) > zeros(1) ? even.swap16() : even).toString('utf16le').replace(/\0+$/, '')
}

/** A JPEG with an Exif comment put behind its first marker. */
export function withJpegComment(jpeg: Uint8Array, text: string): Uint8Array {
  const block = Buffer.concat([Buffer.from('Exif\0\0', 'latin1'), exifComment(text)])
  const head = Buffer.from([0xff, 0xe1, (block.length + 2) >> 8, (block.length + 2) & 255])
  return Buffer.concat([jpeg.subarray(0, 2), head, block, jpeg.subarray(2)])
}

/** A WebP with an Exif comment, in the extended layout. */
export function withWebpComment(
  webp: Uint8Array,
  text: string,
  { width, height }: { width: number; height: number },
): Uint8Array {
  const chunks = [...webpChunks(webp, 'webp')].filter(({ type }) => type !== 'EXIF')
  const extended = chunks.find(({ type }) => type === 'VP8X')
  const header = Buffer.alloc(10)
  if (extended) header.set(extended.data.subarray(0, 10))
  else {
    const alpha = chunks.some(({ type, data }) => type === 'ALPH' || (type === 'VP8L' && ((data[4] as number) & 0x10) !== 0))
    header[0] = alpha ? 0x10 : 0
    header.writeUIntLE(width - 1, 4, 3)
    header.writeUIntLE(height - 1, 7, 3)
  }
  header[0] = (header[0] as number) | 0x08
  return webpFile([
    { type: 'VP8X', data: header },
    ...chunks.filter(({ type }) => type !== 'VP8X'),
    { type: 'EXIF', data: exifComment(text) },
  ])
}

/** A WebP of these chunks. */
export function webpFile(chunks: readonly { readonly type: string; readonly data: Uint8Array }[]): Buffer {
  const body = Buffer.concat(chunks.map(({ type, data }) => webpChunk(type, data)))
  const head = Buffer.from('RIFF\0\0\0\0WEBP', 'latin1')
  head.writeUInt32LE(body.length + 4, 4)
  return Buffer.concat([head, body])
}

function webpChunk(type: string, data: Uint8Array): Buffer {
  const head = Buffer.alloc(8)
  head.write(type, 'latin1')
  head.writeUInt32LE(data.length, 4)
  return Buffer.concat([head, data, Buffer.alloc(data.length % 2)])
}

/** The chunks of a WebP, one after another. @throws ImageError */
export function* webpChunks(bytes: Uint8Array, place: string): Generator<{ type: string; data: Uint8Array }> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let at = 12; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at + 4, true)
    if (at + 8 + length > bytes.length)
      throw new ImageError(place, 'broken', `a chunk of ${length} bytes at byte ${at} is cut off`)
    yield { type: Buffer.from(bytes.subarray(at, at + 4)).toString('latin1'), data: bytes.subarray(at + 8, at + 8 + length) }
    at += 8 + length + (length % 2)
  }
}

/** The Exif comment of a WebP. */
export function webpComment(bytes: Uint8Array, place: string): string | undefined {
  for (const { type, data } of webpChunks(bytes, place)) {
    if (type !== 'EXIF') continue
    const prefixed = Buffer.from(data.subarray(0, 6)).toString('latin1') === 'Exif\0\0'
    return commentOf(prefixed ? data.subarray(6) : data)
  }
  return undefined
}

/** The Exif comment of a JPEG: in a segment APP1 before its pixels. */
export function jpegComment(bytes: Uint8Array): string | undefined {
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff; ) {
    const marker = bytes[at + 1] as number
    const length = ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)
    if (marker === 0xda || length < 2) return undefined
    const data = bytes.subarray(at + 4, at + 2 + length)
    if (marker === 0xe1 && Buffer.from(data.subarray(0, 6)).toString('latin1') === 'Exif\0\0') return commentOf(data.subarray(6))
    at += 2 + length
  }
  return undefined
}
