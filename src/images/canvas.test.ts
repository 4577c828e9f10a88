import sharp from 'sharp'
import { expect, test } from 'vitest'
import { ArgumentError } from '../core/errors.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { Generator } from '../runtime/random.ts'
import { fillMasked, fitPicture, hiresSize, maskedLatents, pasteBack } from './canvas.ts'
import { decodeImage, decodePixels } from './decode.ts'
import { decodeMask, maskLevels } from './mask.ts'
import { resizeLevels } from './pillow.ts'

const levels = (H: number, W: number, C: number, at: (y: number, x: number, c: number) => number) =>
  new NdArray(
    Uint8Array.from({ length: H * W * C }, (_, i) => at(Math.floor(i / C / W), Math.floor(i / C) % W, i % C)),
    [H, W, C],
    'u8',
  )

test('a mask: bright and opaque is repainted, transparent is kept; other conventions by name', async () => {
  // White opaque, white transparent, black opaque, grey half opaque.
  const rgba = new NdArray(
    Uint8Array.from([255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 255, 200, 200, 200, 128]),
    [1, 4, 4],
    'u8',
  )
  expect([...maskLevels(rgba).data]).toEqual([255, 0, 0, 100])
  expect([...maskLevels(rgba, 'transparent').data]).toEqual([0, 255, 0, 127])
  expect([...maskLevels(rgba, 'opaque').data]).toEqual([255, 0, 255, 128])
  const plain = levels(1, 3, 3, (_, x) => x * 100)
  expect([...maskLevels(plain).data]).toEqual([0, 100, 200])
  const raw = sharp(rgba.data, { raw: { width: 4, height: 1, channels: 4 } })
  for (const file of [await raw.clone().png().toBuffer(), await raw.clone().webp({ lossless: true, exact: true }).toBuffer()]) {
    const mask = await decodeMask(file)
    expect(mask.shape).toEqual([1, 1, 4])
    expect([...mask.data].map((x) => Math.round((x + 1) * 127.5))).toEqual([255, 0, 0, 100])
  }
  const palette = await raw.clone().png({ palette: true }).toBuffer()
  expect((await decodeMask(palette)).data[1]).toBe(-1)
})

test('16 bits stay 16 bits where a picture is data', async () => {
  const depth = Uint16Array.from({ length: 64 }, (_, i) => 600 + i * 19)
  const grey = await sharp(depth, { raw: { width: 8, height: 8, channels: 1 } })
    .toColourspace('grey16')
    .png()
    .toBuffer()
  const image = await decodeImage(grey, { channels: 1, depth: 16 })
  expect(image.shape).toEqual([1, 8, 8])
  expect([...image.data].map((x) => Math.round(((x + 1) / 2) * 65535))).toEqual([...depth])
  const colours = Uint16Array.from({ length: 12 }, (_, i) => i * 5001)
  const rgb = await sharp(colours, { raw: { width: 2, height: 2, channels: 3 } })
    .toColourspace('rgb16')
    .png()
    .toBuffer()
  const found = await decodeImage(rgb, { depth: 16 })
  expect([...found.data].map((x) => Math.round(((x + 1) / 2) * 65535))).toEqual(
    [0, 1, 2].flatMap((c) => [0, 1, 2, 3].map((p) => (p * 3 + c) * 5001)),
  )
  // Of 8 bits, and where nobody asks, nothing changes.
  const eight = await sharp(Buffer.from([0, 7, 255, 128]), { raw: { width: 2, height: 2, channels: 1 } })
    .png()
    .toBuffer()
  expect((await decodeImage(eight, { channels: 1, depth: 16 })).data).toEqual((await decodeImage(eight, { channels: 1 })).data)
  expect(new Set((await decodePixels(grey, { channels: 1 })).data).size).toBeLessThan(8)
})

test('still GIFs and TIFFs are read, moving and many-paged ones are refused', async () => {
  const red = sharp({ create: { width: 3, height: 2, channels: 3, background: '#f00' } })
  for (const file of [await red.clone().gif().toBuffer(), await red.clone().tiff({ compression: 'lzw' }).toBuffer()])
    expect([...(await decodePixels(file)).data.slice(0, 3)]).toEqual([255, 0, 0])
  const film = await sharp(Buffer.alloc(3 * 4 * 3, 9).fill(200, 18), { raw: { width: 3, height: 4, channels: 3, pageHeight: 2 } })
    .gif()
    .toBuffer()
  await expect(decodePixels(film)).rejects.toMatchObject({ fault: 'animated' })
})

test('three ways into another size', () => {
  const wide = levels(4, 8, 3, (_, x) => (x < 2 ? 10 : x > 5 ? 250 : 128))
  expect(fitPicture(wide, { width: 4, height: 4, mode: 'stretch' }).data).toEqual(
    resizeLevels(wide, { width: 4, height: 4 }).data,
  )
  const crop = fitPicture(wide, { width: 4, height: 4, mode: 'crop' })
  expect([...crop.data]).toEqual(Array(48).fill(128))
  const fill = fitPicture(wide, { width: 8, height: 8, mode: 'fill' })
  for (let y = 0; y < 8; y++) expect([...fill.data.slice(y * 24, (y + 1) * 24)]).toEqual([...wide.data.slice(0, 24)])
  expect(() => fitPicture(wide, { width: 0, height: 4 })).toThrow(ArgumentError)
})

test('a masked part is filled with the colours around it, what is kept stays', () => {
  const pixels = levels(32, 32, 3, (_, x, c) => (x < 16 ? (c === 0 ? 240 : 20) : c === 2 ? 240 : 20))
  const mask = levels(32, 32, 1, (y, x) => (y > 7 && y < 24 && x > 3 && x < 12 ? 255 : 0))
  const dirty = new NdArray(pixels.data.slice(), [32, 32, 3], 'u8')
  for (let i = 0; i < 1024; i++) if (mask.data[i]) dirty.data.set([0, 255, 0], i * 3)
  const filled = fillMasked(dirty, mask)
  for (let i = 0; i < 1024; i++) {
    const own = [...filled.data.slice(i * 3, i * 3 + 3)] as [number, number, number]
    if (mask.data[i] === 0) expect(own).toEqual([...dirty.data.slice(i * 3, i * 3 + 3)])
    else {
      expect(own[1]).toBeLessThan(40) // None of the green that was there.
      expect(own[0]).toBeGreaterThan(own[2]) // Red is nearer than blue.
    }
  }
})

test('latents under the mask become noise or nothing', () => {
  const [x, noise] = [new Generator(1).randn([1, 2, 2, 2]), new Generator(2).randn([1, 2, 2, 2])]
  const mask = NdArray.from([1, 0, 0, 1], [1, 1, 2, 2])
  const half = (a: NdArray<'f32'>, b: NdArray<'f32'>) =>
    [...a.data].map((v, i) => ([0, 3].includes(i % 4) ? (b.data[i] as number) : v))
  expect(maskedLatents(x, mask, 'fill', noise)).toBe(x)
  expect([...maskedLatents(x, mask, 'latent noise', noise).data]).toEqual(half(x, noise))
  expect([...maskedLatents(x, mask, 'latent nothing', noise).data].map((v) => v + 0)).toEqual(
    half(x, NdArray.zeros([1, 2, 2, 2])).map((v) => v + 0),
  )
})

test('a part is put back to the bit where the mask is white, and nothing else changes', () => {
  const background = levels(10, 10, 3, (y, x) => y * 10 + x)
  const part = levels(4, 4, 3, () => 200)
  const back = pasteBack(background, part, { box: [2, 3, 6, 7] })
  const inside = (i: number) => Math.floor(i / 10) >= 3 && Math.floor(i / 10) < 7 && i % 10 >= 2 && i % 10 < 6
  for (let i = 0; i < 100; i++) expect(back.data[i * 3]).toBe(inside(i) ? 200 : background.data[i * 3])
  const mask = levels(10, 10, 1, (y, x) => (y === 4 && x === 3 ? 255 : y === 4 && x === 4 ? 51 : 0))
  const masked = pasteBack(background, part, { box: [2, 3, 6, 7], mask })
  for (let i = 0; i < 100; i++)
    expect(masked.data[i * 3]).toBe(i === 43 ? 200 : i === 44 ? Math.round(44 + 156 / 5) : background.data[i * 3])
  expect(() => pasteBack(background, part, { box: [8, 8, 12, 12] })).toThrow('within 10 × 10')
})

test('sizes of a hires fix', () => {
  expect(hiresSize({ width: 512, height: 768 }, { scale: 1.5 })).toEqual({ width: 768, height: 1152 })
  expect(hiresSize({ width: 512, height: 512 }, { width: 1030, height: 1024 })).toEqual({ width: 1024, height: 1024 })
  expect(() => hiresSize({ width: 512, height: 512 }, { scale: 0.5 })).toThrow('smaller than the first pass')
})
