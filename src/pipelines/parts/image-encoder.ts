import { ConfigError, loadConfig } from '../../checkpoints/index.ts'
import { input } from '../../core/tensor.ts'
import { cropLevels, resizeLevels } from '../../images/pillow.ts'
import { type ClipVisionConfig, clipPixels, clipVisionWithProjection } from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import { existsSync, join } from '../../runtime/system.ts'
import { levelsOf, sizeOfPicture } from '../images/fit.ts'
import { type Network, openNetwork, openNetworkAt } from '../open/network.ts'
import type { Part } from '../open/parts.ts'
import type { OpenOptions } from '../open/source.ts'
import { turns } from './turns.ts'

/** CLIP's vision encoder, with what is done to a picture before it. */
export interface ImageEncoder extends Network<ClipVisionConfig> {
  readonly preparation: Preparation
}

/** As transformers' `CLIPImageProcessor`: the shorter side to a size, the middle cut out, mean and deviation taken out. */
export interface Preparation {
  readonly shorter: number
  readonly crop: number
  readonly mean: readonly number[]
  readonly std: readonly number[]
}

/** An image encoder among a page's parts; how pictures are prepared stands in another component's folder. */
export const clipImageEncoder = (preparation = 'feature_extractor'): Part<ImageEncoder> => ({
  open(source, component) {
    const opened = openNetwork(source.network(component, ['CLIPVisionModelWithProjection']))
    return { ...opened, preparation: preparationIn(source.beside(preparation), opened.config.image_size) }
  },
})

/** An image encoder's folder, or its name on the hub. @throws as `openNetworkAt` */
export async function openImageEncoder(model: string, options: OpenOptions): Promise<ImageEncoder> {
  const opened = await openNetworkAt(model, 'an image encoder', ['CLIPVisionModelWithProjection'], options)
  return { ...opened, preparation: preparationIn(opened.place, opened.config.image_size) }
}

/** @param dir the folder with `preprocessor_config.json`, which published adapters do without */
export function preparationIn(dir: string, side: number): Preparation {
  const name = 'preprocessor_config.json'
  const fields: Readonly<Record<string, unknown>> = existsSync(join(dir, name)) ? loadConfig(dir, name) : {}
  const pixels = (field: 'size' | 'crop_size', keys: readonly string[]): number => {
    const value = fields[field] ?? side
    const found =
      typeof value === 'number' ? value : keys.map((key) => (value as Record<string, unknown>)[key]).find(Number.isInteger)
    if (typeof found === 'number') return found
    throw new ConfigError(join(dir, name), `expected a number of pixels, or ${keys.join(' or ')} with one`, { field })
  }
  const channels = (field: 'image_mean' | 'image_std', otherwise: readonly number[]): readonly number[] => {
    const value = fields[field] ?? otherwise
    if (Array.isArray(value) && value.length === 3 && value.every((x) => typeof x === 'number')) return value
    throw new ConfigError(join(dir, name), 'expected three numbers', { field })
  }
  return {
    shorter: pixels('size', ['shortest_edge', 'height']),
    crop: pixels('crop_size', ['height']),
    mean: channels('image_mean', clipPixels.mean),
    std: channels('image_std', clipPixels.std),
  }
}

/** A picture as the encoder takes it: f32 [1, 3, crop, crop]. */
export function prepared(picture: NdArray, { shorter, crop, mean, std }: Preparation): NdArray<'f32'> {
  const levels = levelsOf(picture)
  const { height, width } = sizeOfPicture(levels)
  const scaled = (side: number) =>
    side === Math.min(height, width) ? shorter : Math.trunc((shorter * side) / Math.min(height, width))
  const size = { height: scaled(height), width: scaled(width) }
  const [left, top] = [Math.floor((size.width - crop) / 2), Math.floor((size.height - crop) / 2)]
  const cut = cropLevels(resizeLevels(levels, { ...size, kernel: 'bicubic' }), [left, top, left + crop, top + crop])
  const plane = crop * crop
  const values = Float32Array.from({ length: 3 * plane }, (_, i) => {
    const c = Math.floor(i / plane)
    return ((cut.data[(i % plane) * 3 + c] as number) / 255 - (mean[c] as number)) / (std[c] as number)
  })
  return new NdArray(values, [1, 3, crop, crop], 'f32')
}

/** An image encoder at work. */
export interface WorkingImageEncoder {
  /** The picture's embedding in the space shared with texts: f32 [1, projection_dim]. */
  embed(picture: NdArray): Promise<NdArray<'f32'>>
  /** The embedding of zeros in a prepared picture's place. */
  embedNothing(): Promise<NdArray<'f32'>>
  release(): Promise<void>
}

export function imageEncoder({ config, weights, preparation }: ImageEncoder, options: CompileOptions): WorkingImageEncoder {
  const turn = turns()
  const programs = new Programs((side: number) => {
    const pixels = input('pixels', [1, 3, side, side])
    return compile({ outputs: { embeds: clipVisionWithProjection(new Params(), config)(pixels).imageEmbeds }, weights }, options)
  }, 1)
  const run = (pixels: NdArray<'f32'>) =>
    turn(async () => {
      const program = await programs.get(preparation.crop)
      return (await program.run({ pixels })).embeds as NdArray<'f32'>
    })
  return {
    embed: (picture) => run(prepared(picture, preparation)),
    embedNothing: () => run(NdArray.zeros([1, 3, preparation.crop, preparation.crop])),
    release: () => turn(() => programs.release()),
  }
}
