import { concat } from '../../core/functions.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import {
  type AutoencoderKLConfig,
  type AutoencoderTinyConfig,
  latentStatistics,
  restoreLatents,
  sliced,
  tiled,
  tilingOf,
  type VQModelConfig,
} from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import type { Generator } from '../../runtime/random.ts'
import { build } from '../open/classes.ts'
import type { Network } from '../open/network.ts'
import { autoencoder } from '../open/parts.ts'
import { turns } from './turns.ts'

/** An autoencoder whose latents a diffusion model knows. */
export type LatentNetwork =
  | (Network<AutoencoderKLConfig> & { readonly className: 'AutoencoderKL' })
  | (Network<AutoencoderTinyConfig> & { readonly className: 'AutoencoderTiny' })
  | (Network<VQModelConfig> & { readonly className: 'VQModel' })

/** Such an autoencoder among a page's parts. */
export const latentAutoencoder = () => autoencoder(['AutoencoderKL', 'AutoencoderTiny', 'VQModel'])

/** Pixels a side that one latent stands for. */
export const factorOf = (vae: LatentNetwork): number => {
  const widths = vae.className === 'AutoencoderTiny' ? vae.config.decoder_block_out_channels : vae.config.block_out_channels
  return 2 ** (widths.length - 1)
}

/** An autoencoder at work, between pictures and latents as the diffusion model knows them. */
export interface LatentCoder {
  readonly channels: number
  /** Pixels a side that one latent stands for. */
  readonly factor: number
  /** images [1, 3, H, W] in [−1, 1] → latents as the denoiser knows them; a Gaussian's sample takes one draw of their shape. */
  encode(images: NdArray<'f32'>, generator: Generator): Promise<NdArray<'f32'>>
  /** One image [1, 3, H, W] → latents as the denoiser knows them, a Gaussian's sample for each noise: noises [k, C, h, w] → [k, C, h, w]. */
  encodeWith(image: NdArray<'f32'>, noises: NdArray<'f32'>): Promise<NdArray<'f32'>>
  /** Draws what `encode` would for latents of this shape. */
  skip(shape: readonly number[], generator: Generator): void
  /** The encoder's own latents, the most likely and unscaled: what InstructPix2Pix is given. */
  encodeMode(images: NdArray<'f32'>): Promise<NdArray<'f32'>>
  /** The same as the denoiser knows them. */
  encodeScaled(images: NdArray<'f32'>): Promise<NdArray<'f32'>>
  /** Latents as the denoiser knows them → images [B, 3, f·H, f·W]. */
  decode(latents: NdArray<'f32'>): Promise<NdArray<'f32'>>
  release(): Promise<void>
}

export interface LatentOptions extends CompileOptions {
  /** Codes pictures larger than those of training in overlapping tiles: less memory, not quite the same picture. */
  readonly tiling?: boolean | undefined
  /** Of an autoencoder with a codebook: whether latents become their codes before they are decoded; unless false. */
  readonly codes?: boolean
}

/** A checkpoint's autoencoder at work, a program a shape. */
export function latentCoder(vae: LatentNetwork, { tiling = false, codes = true, ...options }: LatentOptions): LatentCoder {
  const { weights, config } = vae
  const channels = config.latent_channels
  const turn = turns()
  const programs = new Programs((key: string) => {
    const [way, ...shape] = key.split(' ')
    const x = input('x', shape.map(Number))
    const y = way === 'encode' ? traceEncoder(vae, x) : traceDecoder(vae, x, codes)
    return compile({ outputs: { y }, weights }, options)
  })
  const run = (way: string) => async (x: NdArray<'f32'>) => {
    const program = await programs.get([way, ...x.shape].join(' '))
    return (await program.run({ x })).y as NdArray<'f32'>
  }
  const tiles = tiling && vae.className === 'AutoencoderKL' ? tilingOf(vae.config) : undefined
  const code = (way: 'encode' | 'decode') => (x: NdArray<'f32'>) =>
    turn(() => sliced(x, (one) => (tiles ? tiled(one, run(way), tiles[way]) : run(way)(one))))
  const { mean, std } = latentStatistics(config)
  const [shift, scale] = [mean, std].map((values) => NdArray.from(values, [1, channels, 1, 1])) as [NdArray, NdArray]
  const halves = (moments: NdArray<'f32'>) => [moments.slice(1, 0, channels), moments.slice(1, channels)] as const

  /** What an encoder gave, as the denoiser knows it. */
  const latentsOf = (coded: NdArray<'f32'>, drawn: (shape: readonly number[]) => NdArray) => {
    if (vae.className !== 'AutoencoderKL') return coded.sub(shift).div(scale)
    const [centre, logVariance] = halves(coded)
    const z = centre.add(logVariance.mul(0.5).exp().mul(drawn(centre.shape)))
    return z.sub(shift).div(scale)
  }
  const encodeMode = async (images: NdArray<'f32'>) => {
    const coded = await code('encode')(images)
    return vae.className === 'AutoencoderKL' ? halves(coded)[0] : coded
  }

  return {
    channels,
    factor: factorOf(vae),
    async encode(images, generator) {
      return latentsOf(await code('encode')(images), (shape) => generator.randn(shape))
    },
    async encodeWith(image, noises) {
      const z = latentsOf(await code('encode')(image), () => noises)
      return z.expand([noises.shape[0] as number, ...z.shape.slice(1)])
    },
    skip(shape, generator) {
      if (vae.className === 'AutoencoderKL') generator.randn(shape)
    },
    encodeMode,
    encodeScaled: async (images) => (await encodeMode(images)).sub(shift).div(scale),
    decode: (latents) => code('decode')(latents),
    release: () => turn(() => programs.release()),
  }
}

/** images → mean and ln σ² as one tensor [B, 2C, h, w]; latents where they are no Gaussian's. */
function traceEncoder({ className, config }: LatentNetwork, x: Tensor): Tensor {
  const p = new Params()
  if (className === 'AutoencoderTiny') return build(className, p, config).encode(x)
  if (className === 'VQModel') return build(className, p, config).encode(x)
  const { mean, logVariance } = build(className, p, config).encode(x)
  return concat([mean, logVariance], 1)
}

/** The denoiser's latents → images. */
function traceDecoder({ className, config }: LatentNetwork, x: Tensor, codes: boolean): Tensor {
  const p = new Params()
  const z = restoreLatents(x, config)
  if (className === 'AutoencoderTiny') return build(className, p, config).decode(z)
  if (className === 'AutoencoderKL') return build(className, p, config).decode(z)
  const { decode, quantize } = build(className, p, config)
  return decode(codes ? quantize(z).latents : z)
}
