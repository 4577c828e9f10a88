import { resize } from '../../core/functions.ts'
import { dims } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { activations } from '../../nn/activation.ts'
import { conv, type Layer, sequence } from '../../nn/layers.ts'
import type { Params } from '../../nn/params.ts'
import type { AutoencoderTinyConfig } from './config.ts'

export interface AutoencoderTiny {
  /** images [B, C, H, W] in [−1, 1] → latents [B, latent_channels, H/f, W/f], scaled as diffusion models take them. */
  readonly encode: (images: Tensor) => Tensor
  /** latents [B, latent_channels, H, W] → images [B, C, f·H, f·W]. */
  readonly decode: (latents: Tensor) => Tensor
}

/** A distilled autoencoder without norms or attention (TAESD, Boer Bohan 2023), with the keys of diffusers' `AutoencoderTiny`. */
export function autoencoderTiny(p: Params, config: AutoencoderTinyConfig): AutoencoderTiny {
  const encode = numbered(p.at('encoder', 'layers'), encoderLayers(config))
  const decode = numbered(p.at('decoder', 'layers'), decoderLayers(config))
  return {
    encode: (images) => {
      dims(images, 'B C H W', { C: config.in_channels })
      return encode(images.add(1).div(2))
    },
    decode: (latents) => {
      dims(latents, 'B C H W', { C: config.latent_channels })
      return decode(latents.div(3).tanh().mul(3)).mul(2).sub(1)
    },
  }
}

/** A layer whose place in the list is its key. */
type Make = (p: Params) => Layer

const numbered = (p: Params, makes: readonly Make[]): Layer => sequence(...makes.map((make, i) => make(p.at(i))))

function encoderLayers({ act_fn, ...config }: AutoencoderTinyConfig): Make[] {
  const { encoder_block_out_channels: widths, num_encoder_blocks: counts } = config
  const stages = counts.flatMap((count, i): Make[] => {
    const width = widths[i] as number
    const first: Make = (p) =>
      i === 0
        ? conv(p, config.in_channels, width, 3, { padding: 1 })
        : conv(p, width, width, 3, { padding: 1, stride: 2, bias: false })
    return [first, ...Array<Make>(count).fill(residual(width, activations[act_fn]))]
  })
  return [...stages, (p) => conv(p, widths.at(-1) as number, config.latent_channels, 3, { padding: 1 })]
}

function decoderLayers({ act_fn, ...config }: AutoencoderTinyConfig): Make[] {
  const { decoder_block_out_channels: widths, num_decoder_blocks: counts, upsampling_scaling_factor: factor } = config
  const act: Layer = activations[act_fn]
  const grow: Layer = (x) =>
    resize(
      x,
      x.shape.slice(2).map((n) => n * factor),
      config.upsample_fn,
    )
  const stages = counts.flatMap((count, i): Make[] => {
    const width = widths[i] as number
    const blocks = Array<Make>(count).fill(residual(width, act))
    if (i === counts.length - 1) return [...blocks, (p) => conv(p, width, config.out_channels, 3, { padding: 1 })]
    return [...blocks, () => grow, (p) => conv(p, width, width, 3, { padding: 1, bias: false })]
  })
  return [(p) => conv(p, config.latent_channels, widths[0] as number, 3, { padding: 1 }), () => act, ...stages]
}

/** Three convolutions and the input, through ReLU. */
const residual =
  (width: number, act: Layer): Make =>
  (p) => {
    const [first, second, third] = [0, 2, 4].map((i) => conv(p.at('conv', i), width, width, 3, { padding: 1 })) as [
      Layer,
      Layer,
      Layer,
    ]
    return (x) =>
      third(act(second(act(first(x)))))
        .add(x)
        .relu()
  }
