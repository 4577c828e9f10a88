import { input } from '../core/tensor.ts'
import { type AutoencoderKLConfig, autoencoderKL } from '../models/vae/index.ts'
import { Params } from '../nn/params.ts'
import { NdArray } from '../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../runtime/program.ts'
import { Programs } from '../runtime/programs.ts'
import type { Weights } from '../runtime/weights.ts'
import { openNetwork, storedIn } from './open/network.ts'
import { parts } from './options.ts'

/** Pictures to latents and back. */
export interface Autoencoder {
  readonly config: AutoencoderKLConfig
  /** Pixels a latent's side stands for. */
  readonly factor: number
  /** images [N, C, H, W] in [−1, 1] → the posterior's mean [N, latent_channels, H/f, W/f], unscaled. */
  encode(images: NdArray<'f32'>): Promise<NdArray<'f32'>>
  /** Unscaled latents → images [N, C, f·H, f·W]. */
  decode(latents: NdArray<'f32'>): Promise<NdArray<'f32'>>
  /** Frees the engine's memory. */
  release(): Promise<void>
}

/**
 * Opens the folder of a diffusers `AutoencoderKL`.
 *
 * @throws ConfigError, FolderError, ModelConfigError, CheckpointError: what is wrong with which file
 */
export function loadAutoencoder(dir: string, options: AutoencoderOptions = {}): Autoencoder {
  return createAutoencoder(openNetwork(storedIn(dir, ['AutoencoderKL'])), options)
}

export interface AutoencoderOptions extends CompileOptions {
  /** Pictures through the network at once. Results of one batch size are the same bit for bit. */
  readonly batch?: number
}

/** An autoencoder from its parts. */
export function createAutoencoder(
  { config, weights }: { readonly config: AutoencoderKLConfig; readonly weights: Weights },
  { batch = 16, ...options }: AutoencoderOptions = {},
): Autoencoder {
  const network = autoencoderKL(new Params(), config)
  const encoders = new Programs((shape: string) =>
    compile({ outputs: { out: network.encode(input('x', numbers(shape))).mean }, weights }, options),
  )
  const decoders = new Programs((shape: string) =>
    compile({ outputs: { out: network.decode(input('x', numbers(shape))) }, weights }, options),
  )
  const through = async (programs: Programs<string>, x: NdArray<'f32'>): Promise<NdArray<'f32'>> => {
    const found: NdArray<'f32'>[] = []
    for (const [from, to] of parts(x.shape[0] as number, batch)) {
      const part = x.slice(0, from, to)
      const program = await programs.get(part.shape.join(' '))
      found.push((await program.run({ x: part })).out as NdArray<'f32'>)
    }
    return NdArray.concat(found)
  }
  return {
    config,
    factor: 2 ** (config.block_out_channels.length - 1),
    encode: (images) => through(encoders, images),
    decode: (latents) => through(decoders, latents),
    async release() {
      await encoders.release()
      await decoders.release()
    },
  }
}

const numbers = (shape: string): number[] => shape.split(' ').map(Number)
