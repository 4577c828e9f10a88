import { type Pixels, sizeOf } from '../images/pixels.ts'
import { colourSpace, muxed } from './container.ts'
import type { EncodeOptions } from './webm.ts'

/** H.264's quantization parameter, 10 (best) to 51, of a quality from 100 down to 1. */
const quantization = (quality: number): number => Math.round(10 + ((100 - quality) / 99) * 41)

/** Pixels with alpha, the last row and column repeated where a side is odd: H.264 has a colour for two by two of them. */
function evenRgba(pixels: Pixels): Uint8Array {
  const { H, W, C } = sizeOf(pixels)
  const [height, width] = [H + (H % 2), W + (W % 2)]
  const out = new Uint8Array(height * width * 4).fill(255)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = (Math.min(y, H - 1) * W + Math.min(x, W - 1)) * C
      for (let c = 0; c < 3; c++) out[(y * width + x) * 4 + c] = pixels.data[from + (C >= 3 ? c : 0)] as number
    }
  }
  return out
}

/** An MP4 of H.264, by an encoder in WebAssembly; pictures are taken one at a time. Odd sides grow by a pixel. */
export async function encodeMp4(frames: AsyncIterable<Pixels> | Iterable<Pixels>, options: EncodeOptions): Promise<Uint8Array> {
  const { rate, quality, width, height, comment } = options
  const { default: h264 } = await import('h264-mp4-encoder')
  const encoder = await h264.createH264MP4Encoder()
  let open = false
  let bytes: Uint8Array
  try {
    encoder.width = width + (width % 2)
    encoder.height = height + (height % 2)
    // Its clock counts in 90,000ths; the container below has the times that count.
    encoder.frameRate = Math.max(1, Math.round(rate))
    encoder.quantizationParameter = quantization(quality)
    encoder.groupOfPictures = Math.max(1, Math.round(rate * 2))
    encoder.initialize()
    open = true
    for await (const frame of frames) encoder.addFrameRgba(evenRgba(frame))
    open = false
    encoder.finalize()
    bytes = encoder.FS.readFile(encoder.outputFilename, { encoding: 'binary' })
  } finally {
    // An encoder that is deleted with a film open ends the process.
    if (open) encoder.finalize()
    encoder.delete()
  }
  const { BufferSource, EncodedPacketSink, Input, MP4, Mp4OutputFormat } = await import('mediabunny')
  const input = new Input({ source: new BufferSource(bytes), formats: [MP4] })
  try {
    const track = await input.getPrimaryVideoTrack()
    const found = await track?.getDecoderConfig()
    if (!track || !found) throw new Error('the encoder wrote no film')
    const sink = new EncodedPacketSink(track)
    async function* packets() {
      let k = 0
      // Its file does not say which pictures stand by themselves: their bytes do.
      for await (const packet of sink.packets(undefined, undefined, { verifyKeyPackets: true })) {
        yield packet.clone({ timestamp: k / rate, duration: 1 / rate })
        k++
      }
    }
    const config = { ...found, colorSpace: colourSpace }
    return await muxed(
      new Mp4OutputFormat({ fastStart: 'in-memory' }),
      { codec: 'avc', config, packets: packets() },
      { rate, comment },
    )
  } finally {
    input.dispose()
  }
}
