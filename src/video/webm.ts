import type { EncodedPacket } from 'mediabunny'
import { ArgumentError } from '../core/errors.ts'
import { encodeWebp } from '../images/encode.ts'
import { webpChunks } from '../images/exif.ts'
import type { Pixels } from '../images/pixels.ts'
import { colourSpace, muxed } from './container.ts'

export interface EncodeOptions {
  /** Pictures a second. */
  readonly rate: number
  /** 1–100. */
  readonly quality: number
  readonly comment: string | undefined
  /** Sides of a picture in pixels. */
  readonly width: number
  readonly height: number
}

/**
 * A WebM of VP8, every picture a key frame: what a lossy WebP holds is such a frame, so that the encoder of pictures makes films too.
 * Pictures are taken one at a time.
 */
export async function encodeWebm(frames: AsyncIterable<Pixels> | Iterable<Pixels>, options: EncodeOptions): Promise<Uint8Array> {
  const { EncodedPacket, WebMOutputFormat } = await import('mediabunny')
  const { rate, quality, width, height, comment } = options
  async function* packets(): AsyncGenerator<EncodedPacket> {
    let k = 0
    for await (const frame of frames) {
      const webp = await encodeWebp(frame, { quality })
      const chunk = [...webpChunks(webp, 'webp')].find(({ type }) => type === 'VP8 ')
      if (!chunk) throw new ArgumentError(`encodeWebm: picture ${k} was not encoded as VP8`)
      yield new EncodedPacket(Uint8Array.from(chunk.data), 'key', k / rate, 1 / rate)
      k++
    }
  }
  const config = { codec: 'vp8', codedWidth: width, codedHeight: height, colorSpace: colourSpace }
  return muxed(new WebMOutputFormat(), { codec: 'vp8', config, packets: packets() }, { rate, comment })
}
