import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32, deflateSync } from 'node:zlib'
import fc from 'fast-check'
import sharp from 'sharp'
import { afterAll, describe, expect, test } from 'vitest'
import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { type DecodeOptions, decodeImage, decodePixels, formatOf, readHeader } from './decode.ts'
import { encodeJpeg, encodePng, encodeWebp, savePng } from './encode.ts'
import { ImageError } from './errors.ts'
import type { Pixels } from './pixels.ts'
import { readPngText, withPngText } from './pngtext.ts'

const desk = mkdtempSync(join(tmpdir(), 'langevin-images-'))
afterAll(() => rmSync(desk, { recursive: true, force: true }))

/** A smooth picture, that lossy formats keep well. */
function sample(H = 12, W = 20, C: 1 | 3 | 4 = 3): Pixels {
  const data = Uint8Array.from({ length: H * W * C }, (_, i) =>
    i % C === 3 ? 255 : 40 + 6 * (Math.floor(i / C) % W) + 20 * (i % C),
  )
  return new NdArray(data, [H, W, C], 'u8')
}

async function faultOf(source: string | Uint8Array, options?: DecodeOptions): Promise<string> {
  const error = await decodePixels(source, options).then(
    () => undefined,
    (e: unknown) => e,
  )
  expect(error).toBeInstanceOf(ImageError)
  return `${(error as ImageError).fault}: ${(error as ImageError).message}`
}

/** A PNG made of chunks, for files that no encoder writes. */
function png(...chunks: readonly (readonly [type: string, data: Uint8Array])[]): Buffer {
  const parts = [Buffer.from('\x89PNG\r\n\x1a\n', 'latin1')]
  for (const [type, data] of chunks) {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
    const ends = [Buffer.alloc(4), Buffer.alloc(4)] as const
    ends[0].writeUInt32BE(data.length)
    ends[1].writeUInt32BE(crc32(body))
    parts.push(ends[0], body, ends[1])
  }
  return Buffer.concat(parts)
}
function ihdr(width: number, height: number): Uint8Array {
  const data = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 0, 0, 0])
  data.writeUInt32BE(width, 0)
  data.writeUInt32BE(height, 4)
  return data
}

describe('decode and encode', () => {
  test.each([1, 3, 4] as const)('PNG and lossless WebP keep every level of %i channels', async (channels) => {
    const picture = sample(9, 7, channels)
    for (const bytes of [await encodePng(picture), await encodeWebp(picture, { lossless: true })]) {
      const back = await decodePixels(bytes, { channels })
      expect(back.shape).toEqual([9, 7, channels])
      expect(back.data).toEqual(picture.data)
    }
  })

  test('JPEG and WebP come back nearly the same, each with its first bytes', async () => {
    const picture = sample(32, 24)
    for (const [bytes, format] of [
      [await encodeJpeg(picture), 'jpeg'],
      [await encodeWebp(picture), 'webp'],
    ] as const) {
      expect(formatOf(bytes)).toBe(format)
      const back = await decodePixels(bytes)
      const worst = Math.max(...back.data.map((level, i) => Math.abs(level - (picture.data[i] as number))))
      expect(worst).toBeLessThan(12)
    }
  })

  test('tensors are written as the pixels they round to', async () => {
    const image = new NdArray(Float32Array.from([-1, 1, 0, -2, 1, 5, 0.5, -0.5, 0, 0, 0, 0]), [3, 2, 2], 'f32')
    const back = await decodePixels(await encodePng(image))
    expect([...back.data]).toEqual([0, 255, 128, 255, 255, 128, 128, 191, 128, 0, 64, 128])
    expect((await decodeImage(await encodePng(image))).shape).toEqual([3, 2, 2])
  })

  test('EXIF orientation is applied, to the header too', async () => {
    const upright = sample(10, 20)
    const turned = await sharp(upright.data, { raw: { width: 20, height: 10, channels: 3 } })
      .png()
      .withMetadata({ orientation: 6 })
      .toBuffer()
    expect(await readHeader(turned)).toEqual({ format: 'png', width: 10, height: 20, hasAlpha: false, grey: false, depth: 8 })
    const back = await decodePixels(turned)
    expect(back.shape).toEqual([20, 10, 3])
    // A quarter turn clockwise: the old bottom left is the new top left, the old top left the new top right.
    expect([...back.data.subarray(0, 3)]).toEqual([...upright.data.subarray(9 * 60, 9 * 60 + 3)])
    expect([...back.data.subarray(27, 30)]).toEqual([...upright.data.subarray(0, 3)])
  })

  test('alpha is laid over the background that is asked for, white by default, or kept', async () => {
    const half = new NdArray(Uint8Array.from([255, 0, 0, 0, 0, 0, 255, 255]), [1, 2, 4], 'u8')
    const bytes = await encodePng(half)
    expect([...(await decodePixels(bytes)).data]).toEqual([255, 255, 255, 0, 0, 255])
    expect([...(await decodePixels(bytes, { background: [1, 2, 3] })).data]).toEqual([1, 2, 3, 0, 0, 255])
    expect([...(await decodePixels(bytes, { channels: 4 })).data]).toEqual([...half.data])
    expect([...(await decodePixels(await encodeJpeg(half, { quality: 100 }))).data.subarray(0, 3)].every((v) => v > 180)).toBe(
      true,
    )
  })

  test('grey, 16-bit and palette files come as 8-bit RGB', async () => {
    const raw = { raw: { width: 20, height: 12, channels: 3 as const } }
    const grey = await encodePng(sample(12, 20, 1))
    const deep = await sharp(sample().data, raw).toColourspace('rgb16').png().toBuffer()
    const palette = await sharp(sample().data, raw).png({ palette: true }).toBuffer()
    for (const bytes of [grey, deep, palette]) expect((await decodePixels(bytes)).shape).toEqual([12, 20, 3])
    expect((await decodePixels(deep)).data).toEqual(sample().data)
    expect((await decodePixels(deep, { channels: 1 })).shape).toEqual([12, 20, 1])
  })

  test('resizing while decoding gives the size asked for', async () => {
    expect((await decodePixels(await encodeJpeg(sample(40, 60)), { resize: { width: 15, height: 10 } })).shape).toEqual([
      10, 15, 3,
    ])
  })
})

describe('pictures from strangers', () => {
  test('everything but PNG, JPEG and WebP is refused by what it is', async () => {
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="file:///etc/passwd"/></svg>'
    expect(await faultOf(Buffer.from(svg))).toMatch(/^format: .*SVG/)
    expect(await faultOf(Buffer.from(`<?xml version="1.0"?>${svg}`))).toMatch(/^format: .*SVG/)
    expect(await faultOf(Buffer.from('GIF89a\x01\0\x01\0', 'latin1'))).toMatch(/^format: .*a GIF/)
    expect(await faultOf(new Uint8Array(0))).toMatch(/^format: .*empty/)
    expect(await faultOf(Buffer.from('hello'), { name: 'photo.png' })).toBe(
      'format: photo.png: not a picture; expected a PNG, JPEG or WebP',
    )
    // An SVG behind the first bytes of a WebP: libvips takes it for a WebP, and finds it damaged.
    expect(await faultOf(Buffer.from(`RIFF\0\0\0\0WEBPVP8 ${svg}`, 'latin1'))).toMatch(/^broken/)
  })

  test('a declared media type must be the true one', async () => {
    const bytes = await encodePng(sample())
    expect(await faultOf(bytes, { mime: 'image/jpeg' })).toMatch(/^mime: .*declared as image\/jpeg but the bytes are png/)
    expect((await decodePixels(bytes, { mime: 'image/PNG' })).shape).toEqual([12, 20, 3])
    expect((await decodePixels(await encodeJpeg(sample()), { mime: 'image/jpg' })).shape).toEqual([12, 20, 3])
  })

  test('a bomb is refused by its header, before a pixel is unpacked', async () => {
    const bomb = png(['IHDR', ihdr(60_000, 60_000)], ['IDAT', deflateSync(Buffer.alloc(1000))], ['IEND', new Uint8Array(0)])
    const before = performance.now()
    expect(await faultOf(bomb)).toMatch(/^size: .*Make it smaller/)
    expect(performance.now() - before).toBeLessThan(500)
    expect(await faultOf(await encodePng(sample()), { maxPixels: 239 })).toMatch(/^size/)
    expect((await decodePixels(await encodePng(sample()), { maxPixels: 240 })).shape).toEqual([12, 20, 3])
  })

  test('too many bytes and too few pixels', async () => {
    const bytes = await encodePng(sample(1, 1))
    expect(await faultOf(bytes, { maxBytes: 10 })).toMatch(/^size: .*at most 10 bytes/)
    expect(await faultOf(bytes, { minSide: 8 })).toMatch(/^size: .*1 × 1 pixels; at least 8 a side/)
    const file = join(desk, 'small.png')
    writeFileSync(file, bytes)
    expect(await faultOf(file, { maxBytes: 10 })).toMatch(/^size: .*small\.png/)
    expect((await decodePixels(file)).shape).toEqual([1, 1, 3])
  })

  test('animations are refused with their number of frames', async () => {
    const frames = Buffer.concat([sample(8, 8).data, sample(8, 8).data.map((v) => 255 - v)])
    const webp = await sharp(frames, { raw: { width: 8, height: 16, channels: 3, pageHeight: 8 } })
      .webp()
      .toBuffer()
    expect(await faultOf(webp)).toMatch(/^animated: .*2 frames/)
    const still = png(
      ['IHDR', ihdr(2, 1)],
      ['acTL', Buffer.from([0, 0, 0, 9, 0, 0, 0, 0])],
      ['IDAT', deflateSync(Buffer.alloc(7))],
      ['IEND', Buffer.alloc(0)],
    )
    expect(await faultOf(still)).toMatch(/^animated: .*9 frames/)
  })

  test('truncated and missing files are errors with the name and the remedy', async () => {
    for (const bytes of [await encodePng(sample(64, 64)), await encodeJpeg(sample(64, 64)), await encodeWebp(sample(64, 64))]) {
      const cut = bytes.subarray(0, bytes.length / 2)
      expect(await faultOf(cut, { name: 'cut' })).toMatch(/^broken: cut: .*truncated or damaged/s)
    }
    expect(await faultOf(join(desk, 'none.png'))).toMatch(/^missing: .*none\.png/)
    expect(await faultOf(desk)).toMatch(/^missing/)
  })

  test('whatever is done to a file, there is a picture or an ImageError', async () => {
    const seeds = [await encodePng(sample(16, 16, 4)), await encodeJpeg(sample(16, 16)), await encodeWebp(sample(16, 16))]
    const change = fc.tuple(fc.nat(2), fc.array(fc.tuple(fc.nat(4095), fc.nat(255)), { maxLength: 8 }), fc.nat(4095))
    await fc.assert(
      fc.asyncProperty(change, async ([which, edits, cut]) => {
        const bytes = Buffer.from(seeds[which] as Buffer)
        for (const [at, value] of edits) bytes[at % bytes.length] = value
        try {
          await decodePixels(bytes.subarray(0, Math.max(1, bytes.length - (cut % 64))), { maxPixels: 2 ** 20 })
        } catch (error) {
          expect(error).toBeInstanceOf(ImageError)
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe('text in PNG files', () => {
  test('Latin-1 goes to tEXt, the rest to iTXt, and both come back', async () => {
    const text = { parameters: 'a red fox\nSteps: 20, Seed: 0', title: 'Ærø', note: 'σ → ∞ 🦊' }
    const bytes = Buffer.from(await encodePng(sample(), { text }))
    expect(Object.fromEntries(readPngText(bytes))).toEqual(text)
    expect(bytes.includes('tEXtparameters\0')).toBe(true)
    expect(bytes.includes('tEXttitle\0')).toBe(true)
    expect(bytes.includes('iTXtnote\0')).toBe(true)
    expect((await decodePixels(bytes)).data).toEqual(sample().data)
    const again = withPngText(bytes, { parameters: 'another' })
    expect(Object.fromEntries(readPngText(again))).toEqual({ ...text, parameters: 'another' })
    expect(withPngText(bytes, {})).toEqual(bytes)
  })

  test('any text comes back, and any bytes give text or an ImageError', async () => {
    const plain = await encodePng(sample(2, 2))
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (value) => {
        fc.pre(!value.includes('\0') && value.isWellFormed())
        expect(readPngText(withPngText(plain, { parameters: value })).get('parameters')).toBe(value)
      }),
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(), (noise, at) => {
        const bytes = Buffer.from(withPngText(plain, { parameters: 'x', note: 'ü → y' }))
        bytes.set(noise.subarray(0, 8), 8 + (at % (bytes.length - 16)))
        try {
          readPngText(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(ImageError)
        }
      }),
    )
  })

  test('compressed chunks are read; one that unfolds without end is passed over', () => {
    const named = (name: string, ...rest: Uint8Array[]) => Buffer.concat([Buffer.from(name, 'latin1'), ...rest])
    const bytes = png(
      ['IHDR', ihdr(1, 1)],
      ['zTXt', named('short\0\0', deflateSync(Buffer.from('caf\xe9', 'latin1')))],
      ['iTXt', named('utf\0\x01\0en\0\0', deflateSync(Buffer.from('é → 1')))],
      ['zTXt', named('bomb\0\0', deflateSync(Buffer.alloc(2 ** 24)))],
      ['tEXt', Buffer.from('no end of keyword')],
      ['IEND', Buffer.alloc(0)],
    )
    expect(Object.fromEntries(readPngText(bytes))).toEqual({ short: 'café', utf: 'é → 1' })
  })

  test('what cannot be a chunk is refused', async () => {
    const bytes = Buffer.from(await encodePng(sample(2, 2)))
    expect(() => withPngText(bytes, { ' padded': 'x' })).toThrow(ArgumentError)
    expect(() => withPngText(bytes, { ['k'.repeat(80)]: 'x' })).toThrow(ArgumentError)
    expect(() => withPngText(bytes, { parameters: 'a\0b' })).toThrow('zero character')
    expect(() => readPngText(withoutEnd(bytes), 'cut.png')).toThrow('cut.png')
    expect(() => readPngText(Buffer.from('GIF89a'), 'x.gif')).toThrow('not a PNG')
  })
})

const withoutEnd = (bytes: Buffer) => bytes.subarray(0, bytes.length - 6)

test('savePng replaces the file and leaves nothing else behind', async () => {
  const folder = mkdtempSync(join(desk, 'save-'))
  const path = join(folder, 'a.png')
  await savePng(path, sample(), { text: { parameters: 'one' } })
  const first = readFileSync(path)
  await savePng(path, sample(), { text: { parameters: 'one' } })
  expect(readFileSync(path)).toEqual(first)
  await savePng(path, sample(3, 3))
  expect((await readHeader(path)).width).toBe(3)
  expect(readdirSync(folder)).toEqual(['a.png'])
  await expect(savePng(join(folder, 'no/such/a.png'), sample())).rejects.toThrow('cannot be written')
})
