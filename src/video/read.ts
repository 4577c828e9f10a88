import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ArgumentError } from '../core/errors.ts'
import { inWords } from '../core/system-error.ts'
import { decodePixels, formatOf } from '../images/decode.ts'
import { webpFile } from '../images/exif.ts'
import { type Pixels, toTensor } from '../images/pixels.ts'
import { sharp } from '../images/sharp.ts'
import { NdArray } from '../runtime/ndarray.ts'

/** Frames that are read of a film, at most, and pixels of all of them. */
const MOST = 4096
const MOST_PIXELS = 2 ** 28

/**
 * A film's pictures, f32 [T, 3, H, W] in [−1, 1]: of a folder of pictures in the order of their names, an animated WebP or GIF, or a WebM
 * whose frames each stand by themselves, as those here do.
 *
 * @throws ArgumentError for other films, and for pictures of several sizes; ImageError
 */
export async function readFilm(path: string): Promise<NdArray<'f32'>> {
  const frames = await framesIn(path)
  const [first] = frames
  if (!first) throw new ArgumentError(`${path}: has no pictures`)
  const odd = frames.findIndex(({ shape }) => shape.join() !== first.shape.join())
  if (odd >= 0)
    throw new ArgumentError(
      `${path}: picture ${odd} is [${frames[odd]?.shape.join(', ')}] and picture 0 [${first.shape.join(', ')}]`,
    )
  return NdArray.concat(
    frames.map((frame) => {
      const image = toTensor(frame)
      return image.reshape([1, ...image.shape])
    }),
  )
}

async function framesIn(path: string): Promise<Pixels[]> {
  if (isFolder(path)) {
    const names = readdirSync(path).filter((name) => /\.(png|jpe?g|webp)$/i.test(name))
    if (names.length > MOST) throw new ArgumentError(`${path}: ${names.length} pictures; ${MOST} at most`)
    const found: Pixels[] = []
    for (const name of names.sort()) found.push(await decodePixels(join(path, name)))
    return found
  }
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (cause) {
    throw new ArgumentError(`${path}: cannot be read: ${inWords(cause as NodeJS.ErrnoException)}`, { cause })
  }
  const format = formatOf(bytes)
  if (format === 'webp' || format === 'gif') return animationIn(bytes, path)
  if (bytes.readUInt32BE(0) === 0x1a45dfa3) return webmIn(bytes, path)
  throw new ArgumentError(
    `${path}: films are read from an animated WebP or GIF, a WebM that was made here, or a folder of pictures`,
  )
}

async function animationIn(bytes: Buffer, path: string): Promise<Pixels[]> {
  const image = sharp()(bytes, { animated: true, failOn: 'error', limitInputPixels: MOST_PIXELS })
  try {
    const { data, info } = await image.removeAlpha().toColourspace('srgb').raw().toBuffer({ resolveWithObject: true })
    const height = info.pageHeight ?? info.height
    const size = info.width * height * 3
    return Array.from({ length: Math.min(MOST, data.length / size) }, (_, k) => {
      const own = Uint8Array.from(data.subarray(k * size, (k + 1) * size))
      return new NdArray(own, [height, info.width, 3], 'u8')
    })
  } catch (cause) {
    throw new ArgumentError(`${path}: ${(cause as Error).message.split('\n')[0]}`, { cause })
  }
}

/** Frames of VP8 that are all key frames: each is what a WebP holds. */
async function webmIn(bytes: Buffer, path: string): Promise<Pixels[]> {
  const { BufferSource, EncodedPacketSink, Input, WEBM } = await import('mediabunny')
  const input = new Input({ source: new BufferSource(bytes), formats: [WEBM] })
  try {
    const track = await input.getPrimaryVideoTrack().catch(() => null)
    if ((await track?.getCodec()) !== 'vp8' || !track)
      throw new ArgumentError(`${path}: is no WebM of VP8; save it as an animated WebP`)
    const found: Pixels[] = []
    for await (const packet of new EncodedPacketSink(track).packets()) {
      if (packet.type !== 'key' || found.length === MOST)
        throw new ArgumentError(`${path}: frame ${found.length} needs those before it; save the film as an animated WebP`)
      found.push(await decodePixels(webpFile([{ type: 'VP8 ', data: packet.data }])))
    }
    return found
  } finally {
    input.dispose()
  }
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    return false
  }
}
