import { concat } from '../../core/functions.ts'
import { input } from '../../core/tensor.ts'
import {
  autoencoderKL,
  autoencoderTiny,
  latentStatistics,
  restoreLatents,
  sliced,
  tiled,
  tilingOf,
  vqModel,
} from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import type { Generator } from '../../runtime/random.ts'
import type { Autoencoder } from './parts.ts'

export interface Latents {
  readonly channels: number
  /** images [1, 3, H, W] in [−1, 1] → latents as the U-Net sees them; a Gaussian's sample takes one draw of their shape. */
  encode(images: NdArray<'f32'>, generator: Generator): Promise<NdArray<'f32'>>
  /** Draws what `encode` would for latents of this shape. */
  skip(shape: readonly number[], generator: Generator): void
  /** The encoder's own latents, the most likely and unscaled: what InstructPix2Pix is given. */
  encodeMode(images: NdArray<'f32'>): Promise<NdArray<'f32'>>
  /** Latents as the U-Net sees them → images [B, 3, f·H, f·W]. */
  decode(latents: NdArray<'f32'>): Promise<NdArray<'f32'>>
  release(): Promise<void>
}

export interface LatentOptions extends CompileOptions {
  /** Codes pictures larger than those of training in overlapping tiles: less memory, not quite the same picture. */
  readonly tiling?: boolean | undefined
}

/** A checkpoint's autoencoder at work, a program a shape. */
export function latentCoder(vae: Autoencoder, { tiling = false, ...options }: LatentOptions): Latents {
  const { weights, config } = vae
  const channels = config.latent_channels
  const programs = new Programs((key: string) => {
    const [way, ...shape] = key.split(' ')
    const x = input('x', shape.map(Number))
    const y = way === 'encode' ? drawEncoder(vae)(x) : drawDecoder(vae)(x)
    return compile({ outputs: { y }, weights }, options)
  })
  const run = (way: string) => async (x: NdArray<'f32'>) => {
    const program = await programs.get([way, ...x.shape].join(' '))
    return (await program.run({ x })).y as NdArray<'f32'>
  }
  const tiles = tiling && vae.kind === 'AutoencoderKL' ? tilingOf(vae.config) : undefined
  const code = (way: 'encode' | 'decode') => (x: NdArray<'f32'>) =>
    sliced(x, (one) => (tiles ? tiled(one, run(way), tiles[way]) : run(way)(one)))
  const { mean, std } = latentStatistics(config)
  const [shift, scale] = [mean, std].map((values) => NdArray.from(values, [1, channels, 1, 1])) as [NdArray, NdArray]
  const halves = (moments: NdArray<'f32'>) => [moments.slice(1, 0, channels), moments.slice(1, channels)] as const

  return {
    channels,
    async encode(images, generator) {
      const coded = await code('encode')(images)
      if (vae.kind !== 'AutoencoderKL') return coded.sub(shift).div(scale)
      const [centre, logVariance] = halves(coded)
      const z = centre.add(logVariance.mul(0.5).exp().mul(generator.randn(centre.shape)))
      return z.sub(shift).div(scale)
    },
    skip(shape, generator) {
      if (vae.kind === 'AutoencoderKL') generator.randn(shape)
    },
    async encodeMode(images) {
      const coded = await code('encode')(images)
      return vae.kind === 'AutoencoderKL' ? halves(coded)[0] : coded
    },
    decode: (latents) => code('decode')(latents),
    release: () => programs.release(),
  }
}

/** images → mean and ln σ² as one tensor [B, 2C, h, w]; latents where they are no Gaussian's. */
function drawEncoder(vae: Autoencoder) {
  const p = new Params()
  if (vae.kind === 'AutoencoderTiny') return autoencoderTiny(p, vae.config).encode
  if (vae.kind === 'VQModel') return vqModel(p, vae.config).encode
  const { encode } = autoencoderKL(p, vae.config)
  return (x: ReturnType<typeof input>) => {
    const { mean, logVariance } = encode(x)
    return concat([mean, logVariance], 1)
  }
}

/** The U-Net's latents → images. */
function drawDecoder(vae: Autoencoder) {
  const p = new Params()
  type X = ReturnType<typeof input>
  if (vae.kind === 'AutoencoderTiny') {
    const { decode } = autoencoderTiny(p, vae.config)
    return (x: X) => decode(restoreLatents(x, vae.config))
  }
  if (vae.kind === 'VQModel') {
    const { decode, quantize } = vqModel(p, vae.config)
    return (x: X) => decode(quantize(restoreLatents(x, vae.config)).latents)
  }
  const { decode } = autoencoderKL(p, vae.config)
  return (x: X) => decode(restoreLatents(x, vae.config))
}
