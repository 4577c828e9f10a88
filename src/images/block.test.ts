import sharp from 'sharp'
import { expect, test } from 'vitest'
import { NdArray } from '../runtime/ndarray.ts'
import { blockOtherLoaders, decodePixels } from './decode.ts'
import { encodeJpeg, encodePng, encodeWebp } from './encode.ts'

// In a file of its own: the block holds for the whole process.
test('after blockOtherLoaders only PNG, JPEG and WebP can be read, even by sharp itself', async () => {
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>')
  const gif = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64')
  for (const bytes of [svg, gif]) expect((await sharp(bytes).metadata()).width).toBeGreaterThan(0)
  blockOtherLoaders()
  for (const bytes of [svg, gif]) await expect(sharp(bytes).metadata()).rejects.toThrow()
  const picture = new NdArray(new Uint8Array(48).fill(90), [4, 4, 3], 'u8')
  for (const encode of [encodePng, encodeJpeg, encodeWebp])
    expect((await decodePixels(await encode(picture))).shape).toEqual([4, 4, 3])
})
