import { NdArray } from '../runtime/ndarray.ts'
import { ImageError } from './errors.ts'
import type { Pixels } from './pixels.ts'
import { sharp } from './sharp.ts'

/**
 * Draws an SVG that this program made itself, at the size that its `width` and `height` name. Never give it a stranger's.
 *
 * @param place what errors call it
 * @returns pixels [H, W, 4], alpha not multiplied in
 * @throws ImageError for a document that is no SVG, and in a process where `blockOtherLoaders` was called
 */
export async function drawSvg(svg: string, place = 'SVG'): Promise<Pixels> {
  try {
    const { data, info } = await sharp()(Buffer.from(svg)).ensureAlpha().raw().toBuffer({ resolveWithObject: true })
    return new NdArray(new Uint8Array(data.buffer, data.byteOffset, data.length), [info.height, info.width, 4], 'u8')
  } catch (error) {
    throw new ImageError(
      place,
      'broken',
      `${(error as Error).message}. It must be an SVG document, in a process that did not call blockOtherLoaders`,
      { cause: error },
    )
  }
}
