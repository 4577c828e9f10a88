import { constant, input, type Tensor } from '../core/tensor.ts'
import { type ClipConfig, clipPixels, clipTextWithProjection, clipVisionWithProjection } from '../models/clip/index.ts'
import { Params } from '../nn/params.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../runtime/program.ts'
import { Programs } from '../runtime/programs.ts'
import type { Weights } from '../runtime/weights.ts'
import { ClipTokenizer } from '../text/index.ts'
import { openNetwork, storedIn } from './open/network.ts'
import { parts } from './options.ts'

/** Texts and pictures in one space, where those that fit lie in one direction. */
export interface Clip {
  readonly config: ClipConfig
  /** [N, projection_dim], of length 1. */
  embedTexts(texts: readonly string[]): Promise<NdArray<'f32'>>
  /** images [N, C, image_size, image_size] in [−1, 1] → [N, projection_dim], of length 1. */
  embedImages(images: NdArray<'f32'>): Promise<NdArray<'f32'>>
  /** The same of pixels whose mean and deviation are taken out already. */
  embedPixels(pixels: NdArray<'f32'>): Promise<NdArray<'f32'>>
  /** Frees the engine's memory. */
  release(): Promise<void>
}

/**
 * Opens the folder of a transformers `CLIPModel` and its tokenizer.
 *
 * @throws ConfigError, FolderError, ModelConfigError, CheckpointError: what is wrong with which file
 */
export function loadClip(dir: string, options: CompileOptions = {}): Clip {
  const { config, weights } = openNetwork(storedIn(dir, ['CLIPModel']))
  return createClip({ config, weights, tokenizer: ClipTokenizer.open(dir) }, options)
}

export interface ClipParts {
  readonly config: ClipConfig
  readonly weights: Weights
  readonly tokenizer: ClipTokenizer
}

/** A model from its parts. */
export function createClip({ config, weights, tokenizer }: ClipParts, options: CompileOptions = {}): Clip {
  const { projection_dim, initializer_factor, text_config: text, vision_config: vision } = config
  const p = new Params()
  const encodeText = clipTextWithProjection(p, { ...text, projection_dim, initializer_factor })
  const encodeImage = clipVisionWithProjection(p, { ...vision, projection_dim, initializer_factor })
  const length = Math.min(tokenizer.maxLength, text.max_position_embeddings)
  const texts = new Programs((batch: number) => {
    const tokens = input('tokens', [batch, length], 'i64')
    return compile({ outputs: { out: encodeText(tokens).textEmbeds }, weights }, options)
  })
  const encoded = (prepare: (images: Tensor) => Tensor) =>
    new Programs((batch: number) => {
      const images = input('images', [batch, vision.num_channels, vision.image_size, vision.image_size])
      return compile({ outputs: { out: encodeImage(prepare(images)).imageEmbeds }, weights }, options)
    })
  const [images, pixels] = [encoded(clipNormalised), encoded((x) => x)]
  const embedded = (programs: Programs<number>) => (all: NdArray<'f32'>) =>
    through(programs, all.shape[0] as number, (from, to) => ({ images: all.slice(0, from, to) }))
  const through = async (
    programs: Programs<number>,
    count: number,
    feeds: (from: number, to: number) => Record<string, NdArray>,
  ) => {
    const found: NdArray<'f32'>[] = []
    for (const [from, to] of parts(count, 64)) {
      const program = await programs.get(to - from)
      found.push((await program.run(feeds(from, to))).out as NdArray<'f32'>)
    }
    const all = NdArray.concat(found)
    return all.div(
      all
        .square()
        .sum({ axes: [1], keep: true })
        .sqrt(),
    )
  }
  return {
    config,
    embedTexts: (list) =>
      through(texts, list.length, (from, to) => ({ tokens: framed(tokenizer, list.slice(from, to), length) })),
    embedImages: embedded(images),
    embedPixels: embedded(pixels),
    async release() {
      await texts.release()
      await images.release()
      await pixels.release()
    },
  }
}

/** Pictures in [−1, 1] as CLIP takes them. */
export function clipNormalised(images: Tensor): Tensor {
  const column = (values: readonly number[]) => constant(values, [1, values.length, 1, 1])
  return images.div(2).add(0.5).sub(column(clipPixels.mean)).div(column(clipPixels.std))
}

/** Texts as the network takes them: i64 [N, length], `maxLength` unless given; what is too long is cut off. */
export function framed(tokenizer: ClipTokenizer, texts: readonly string[], length = tokenizer.maxLength): NdArray<'i64'> {
  const ids = texts.flatMap((text) => tokenizer.frame(tokenizer.encode(text), length))
  return new NdArray(BigInt64Array.from(ids, BigInt), [texts.length, length], 'i64')
}
