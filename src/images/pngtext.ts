import { crc32, inflateSync } from 'node:zlib'
import { ArgumentError } from '../core/errors.ts'
import { ImageError } from './errors.ts'

/**
 * Text in PNG files (PNG specification, third edition, 11.3.3): tEXt in Latin-1, zTXt the same compressed, iTXt in UTF-8.
 * Diffusion programs keep a picture's settings under the keyword `parameters`.
 */

const signature = 8
/** Most characters that one compressed chunk may unfold to. */
const maxText = 2 ** 20

function* chunks(png: Uint8Array, place: string) {
  const view = new DataView(png.buffer, png.byteOffset, png.length)
  if (png.length < signature || view.getUint32(0) !== 0x89504e47) throw new ImageError(place, 'format', 'not a PNG')
  for (let at = signature; at < png.length; ) {
    if (at + 12 > png.length) throw new ImageError(place, 'broken', `a chunk at byte ${at} is cut off`)
    const length = view.getUint32(at)
    if (at + 12 + length > png.length)
      throw new ImageError(place, 'broken', `a chunk of ${length} bytes at byte ${at} is cut off`)
    const type = latin1(png.subarray(at + 4, at + 8))
    yield { at, type, data: png.subarray(at + 8, at + 8 + length) }
    if (type === 'IEND') return
    at += 12 + length
  }
}

const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')
const utf8 = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8')

function chunk(type: string, data: Uint8Array): Buffer {
  const out = Buffer.alloc(12 + data.length)
  out.writeUInt32BE(data.length, 0)
  out.write(type, 4, 'latin1')
  out.set(data, 8)
  out.writeUInt32BE(crc32(out.subarray(4, 8 + data.length)), 8 + data.length)
  return out
}

/** A keyword is 1–79 printable Latin-1 characters, no space at its ends nor two together. */
const isKeyword = (keyword: string) => /^[\x21-\x7e\xa1-\xff]+( [\x21-\x7e\xa1-\xff]+)*$/.test(keyword) && keyword.length <= 79

/** Latin-1 without control characters other than line ends and tabs: what tEXt can hold. */
const isLatin1 = (text: string) => /^[\t\n\r\x20-\x7e\xa0-\xff]*$/.test(text)

/**
 * A PNG with text chunks put before its pixels, Latin-1 text as tEXt and all other as iTXt.
 * Chunks of the same keyword that stood there are replaced.
 */
export function withPngText(png: Uint8Array, text: Readonly<Record<string, string>>): Uint8Array {
  const entries = Object.entries(text)
  if (entries.length === 0) return Buffer.from(png)
  const added = entries.map(([keyword, value]) => {
    if (!isKeyword(keyword))
      throw new ArgumentError(`PNG text: ${JSON.stringify(keyword)} is no keyword (1–79 Latin-1 characters)`)
    if (value.includes('\0')) throw new ArgumentError(`PNG text: ${keyword} holds a zero character, which ends a text`)
    const name = Buffer.from(`${keyword}\0`, 'latin1')
    return isLatin1(value)
      ? chunk('tEXt', Buffer.concat([name, Buffer.from(value, 'latin1')]))
      : chunk('iTXt', Buffer.concat([name, Buffer.from([0, 0, 0, 0]), Buffer.from(value, 'utf8')]))
  })
  const out: Uint8Array[] = [png.subarray(0, signature)]
  let placed = false
  for (const { at, type, data } of chunks(png, 'PNG text')) {
    if (/^(tEXt|zTXt|iTXt)$/.test(type) && Object.hasOwn(text, keywordOf(data))) continue
    if (type === 'IDAT' && !placed) {
      out.push(...added)
      placed = true
    }
    out.push(png.subarray(at, at + 12 + data.length))
  }
  return Buffer.concat(out)
}

const keywordOf = (data: Uint8Array) => latin1(data.subarray(0, Math.max(0, data.indexOf(0))))

/**
 * The text chunks of a PNG by keyword; of two with one keyword the first. Unreadable chunks are passed over.
 *
 * @param place what errors call it
 * @throws ImageError for bytes that are no PNG, or one that is cut off
 */
export function readPngText(png: Uint8Array, place = `PNG of ${png.length} bytes`): Map<string, string> {
  const found = new Map<string, string>()
  for (const { type, data } of chunks(png, place)) {
    const keyword = keywordOf(data)
    if (!/^(tEXt|zTXt|iTXt)$/.test(type) || !isKeyword(keyword) || found.has(keyword)) continue
    const text = textOf(type, data.subarray(keyword.length + 1))
    if (text !== undefined) found.set(keyword, text)
  }
  return found
}

function textOf(type: string, rest: Uint8Array): string | undefined {
  if (type === 'tEXt') return latin1(rest)
  if (type === 'zTXt') return rest[0] === 0 ? unfold(rest.subarray(1), latin1) : undefined
  const language = rest.indexOf(0, 2)
  const translated = language < 0 ? -1 : rest.indexOf(0, language + 1)
  if (translated < 0) return undefined
  const body = rest.subarray(translated + 1)
  if (rest[0] === 0) return utf8(body)
  return rest[0] === 1 && rest[1] === 0 ? unfold(body, utf8) : undefined
}

function unfold(data: Uint8Array, read: (bytes: Uint8Array) => string): string | undefined {
  try {
    return read(inflateSync(data, { maxOutputLength: maxText }))
  } catch {
    return undefined
  }
}
