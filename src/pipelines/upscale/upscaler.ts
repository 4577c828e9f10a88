import { ArgumentError, ShapeError } from '../../core/errors.ts'
import { input } from '../../core/tensor.ts'
import { pictureFault } from '../../images/range.ts'
import { resize } from '../../images/resize.ts'
import { Params } from '../../nn/params.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import { fromParts, mirrored, partsFor } from './channels.ts'
import { openUpscaler, type UpscalerNetwork } from './open.ts'
import { cut, type Enlarge, inTiles, type TileOptions, type TileProgress } from './tiles.ts'

export interface UpscaleOptions {
  /** Pixels a side that one becomes; the network's own unless given. A last Lanczos resize makes the difference. */
  readonly scale?: number | undefined
  /** Pixels a side of a tile; larger pictures go through the network in parts. 0: all at once, whatever the size. 256 unless given. */
  readonly tile?: number | undefined
  /** Pixels that neighbouring tiles share, averaged; the network's own way unless given. */
  readonly overlap?: number | undefined
  /** Stops between two tiles, with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** A way to enlarge pictures. */
export interface Upscaler {
  /** The network's class, or `lanczos`. */
  readonly name: string
  /** Pixels a side that one becomes unless a run says otherwise. */
  readonly scale: number
  /**
   * Enlarges a picture [C, H, W] in [0, 1]: grey (C = 1), grey and alpha, RGB, or RGB and alpha. Alpha goes through the network by
   * itself, as a grey picture. Yields after every tile.
   *
   * @throws ArgumentError, ShapeError
   */
  upscale(picture: NdArray<'f32'>, options?: UpscaleOptions): AsyncGenerator<TileProgress, NdArray<'f32'>, void>
  /** Frees the engine's memory. */
  release(): Promise<void>
}

/**
 * Opens an upscaler: `lanczos`, a bundled one by its name, a folder, or a published file of Real-ESRGAN, ESRGAN or SwinIR.
 *
 * @throws what `openUpscaler` does
 */
export function loadUpscaler(model: string, options: CompileOptions = {}): Upscaler {
  return model === 'lanczos' ? lanczos : networkUpscaler(openUpscaler(model), options)
}

/** Signal processing (Duchon 1979): Pillow's Lanczos, within a level of 255. */
const lanczos: Upscaler = {
  name: 'lanczos',
  scale: 4,
  async *upscale(picture, { scale = 4 } = {}) {
    channelsOf(picture)
    const made = resized(picture, checkScale(scale))
    yield { done: 1, total: 1 }
    return made
  },
  release: async () => {},
}

function networkUpscaler(network: UpscalerNetwork, options: CompileOptions): Upscaler {
  const layer = network.build(new Params())
  // Tiles at the borders have sizes of their own.
  const programs = new Programs(async (sides: string) => {
    const shape = [1, network.channels, ...sides.split(' ').map(Number)]
    return compile({ outputs: { made: layer(input('picture', shape)) }, weights: network.weights }, options)
  }, 9)
  const enlarge: Enlarge = async (picture) => {
    const program = await programs.get(picture.shape.slice(1).join(' '))
    const { made } = await program.run({ picture: picture.reshape([1, ...picture.shape]) })
    return (made as NdArray<'f32'>).reshape((made as NdArray).shape.slice(1))
  }
  return {
    name: network.className,
    scale: network.scale,
    async *upscale(picture, given = {}) {
      const channels = channelsOf(picture)
      const scale = checkScale(given.scale ?? network.scale)
      const options = tileOptions(network, picture, given)
      const parts = partsFor(picture, network.channels)
      const made: NdArray<'f32'>[] = []
      for (const [i, part] of parts.entries()) {
        const steps = enlarged(network, part, enlarge, options)
        for (let next = await steps.next(); ; next = await steps.next()) {
          if (next.done) {
            made.push(clampInPlace(next.value))
            break
          }
          const { done, total } = next.value
          yield { done: i * total + done, total: parts.length * total }
          given.signal?.throwIfAborted()
        }
      }
      return resized(fromParts(made, channels, network.channels), scale / network.scale)
    },
    release: () => programs.release(),
  }
}

/** One part of a picture through the network: mirrored to sides that it takes, in tiles, and cut to the picture again. */
async function* enlarged(
  { scale, multiple, windows }: UpscalerNetwork,
  part: NdArray<'f32'>,
  enlarge: Enlarge,
  options: TileOptions,
): AsyncGenerator<TileProgress, NdArray<'f32'>, void> {
  const [, height, width] = part.shape as [number, number, number]
  // SwinIR's program mirrors one window more than is needed, and the published figures are measured with it.
  const whole = (side: number) => (windows ? Math.floor(side / multiple) + 1 : Math.ceil(side / multiple)) * multiple
  const filled = mirrored(part, whole(height), whole(width), windows)
  const made = yield* inTiles(filled, enlarge, options)
  return cut(made, { start: 0, size: height * scale }, { start: 0, size: width * scale })
}

/** Values brought into [0, 1] where they lie. */
function clampInPlace(picture: NdArray<'f32'>): NdArray<'f32'> {
  const { data } = picture
  for (let i = 0; i < data.length; i++) data[i] = Math.min(1, Math.max(0, data[i] as number))
  return picture
}

const TILE = 256

/** Tiles in whole multiples of what the network takes. */
function tileOptions({ scale, multiple, tiling: own }: UpscalerNetwork, picture: NdArray, given: UpscaleOptions): TileOptions {
  const { tile = TILE, overlap } = given
  for (const [name, value] of Object.entries({ tile, overlap: overlap ?? 0 }))
    if (!Number.isInteger(value) || value < 0) throw new ArgumentError(`${name}: expected pixels, 0 or more, got ${value}`)
  const whole = (pixels: number) => Math.floor(pixels / multiple) * multiple
  const side = tile === 0 ? Math.max(...picture.shape) + 2 * multiple : Math.max(multiple, whole(tile))
  if (overlap !== undefined && overlap >= side)
    throw new ArgumentError(`overlap: ${overlap} is no less than the tile, ${side} pixels`)
  const tiling =
    overlap !== undefined
      ? ({ type: 'average', overlap: whole(overlap) } as const)
      : own.type === 'context'
        ? ({ type: 'context', context: whole(own.context) } as const)
        : ({ type: 'average', overlap: Math.min(own.overlap, whole(side / 2)) } as const)
  return { scale, tile: side, tiling }
}

/** The channels of a picture that can be enlarged. */
function channelsOf(picture: NdArray): number {
  const { shape } = picture
  const [channels = 0] = shape
  if (shape.length !== 3 || channels < 1 || channels > 4 || shape.some((n) => n === 0))
    throw new ShapeError(`upscale: expected a picture [1 to 4, H, W], got [${shape.join(', ')}]`)
  const fault = pictureFault(picture, [0, 1])
  if (fault !== undefined) throw new ArgumentError(`upscale: ${fault}`)
  return channels
}

function checkScale(scale: number): number {
  if (!(scale > 0 && scale <= 64)) throw new ArgumentError(`scale: expected a number above 0, 64 at most, got ${scale}`)
  return scale
}

function resized(picture: NdArray<'f32'>, factor: number): NdArray<'f32'> {
  const [, height, width] = picture.shape as [number, number, number]
  const [h, w] = [height, width].map((side) => Math.max(1, Math.round(side * factor))) as [number, number]
  return h === height && w === width ? picture : resize(picture, { height: h, width: w, kernel: 'lanczos', range: [0, 1] })
}
