import { embedding } from '../../core/functions.ts'
import { dims } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { conv, sequence } from '../../nn/layers.ts'
import { type Params, uniform } from '../../nn/params.ts'
import { decoder, encoder } from './coder.ts'
import type { VQModelConfig } from './config.ts'
import { movqDecoder } from './movq-decoder.ts'

export interface Quantized {
  /** The nearest codes [B, D, H, W]; a gradient passes to the latents as if they were not rounded (Bengio et al. 2013). */
  readonly latents: Tensor
  /** Their numbers: i64 [B, H, W]. */
  readonly indices: Tensor
  /** What pulls latents to their codes, and, a quarter as strongly, codes to their latents: a mean over all elements. */
  readonly loss: Tensor
}

export interface VQModel {
  /** images [B, C, H, W] in [−1, 1] → [B, D, H/f, W/f], not yet quantized. */
  readonly encode: (images: Tensor) => Tensor
  readonly quantize: (latents: Tensor) => Quantized
  /** Codes by number: i64 [B, H, W] → [B, D, H, W]. */
  readonly lookup: (indices: Tensor) => Tensor
  /** Quantized latents [B, D, H, W] → images [B, C, f·H, f·W]. */
  readonly decode: (latents: Tensor) => Tensor
}

/**
 * An autoencoder with a codebook (van den Oord et al. 2017; Esser et al. 2021), with the keys of diffusers' `VQModel`; with spatial norms
 * MoVQ (Zheng et al. 2022).
 */
export function vqModel(p: Params, config: VQModelConfig): VQModel {
  const { latent_channels: channels, num_vq_embeddings: codes } = config
  const width = config.vq_embed_dim ?? channels
  const encode = sequence(encoder(p.at('encoder'), config, channels), conv(p.at('quant_conv'), channels, width, 1))
  const afterCodes = conv(p.at('post_quant_conv'), width, channels, 1)
  const decode = config.norm_type === 'spatial' ? movqDecoder(p.at('decoder'), config) : decoder(p.at('decoder'), config)
  const codebook = p.at('quantize', 'embedding').get('weight', [codes, width], uniform(1 / codes))
  const lookup = (indices: Tensor) => embedding(codebook, indices).transpose(0, 3, 1, 2)
  return {
    encode: (images) => {
      dims(images, 'B C H W', { C: config.in_channels })
      return encode(images)
    },
    quantize: (latents) => {
      const { B, H, W } = dims(latents, 'B D H W', { D: width })
      const rows = latents.transpose(0, 2, 3, 1).reshape([B * H * W, width])
      // |z − e|² without |z|², which is the same for every code.
      const distance = codebook
        .square()
        .sum(1)
        .sub(rows.matmul(codebook, { transB: true }).mul(2))
      const indices = distance.neg().argmax(1).reshape([B, H, W])
      const nearest = lookup(indices)
      const toCode = nearest.stopGradient().sub(latents).square().mean()
      const toLatent = nearest.sub(latents.stopGradient()).square().mean()
      return {
        latents: latents.add(nearest.sub(latents).stopGradient()),
        indices,
        loss: toCode.add(toLatent.mul(0.25)),
      }
    },
    lookup,
    decode: (latents) => {
      dims(latents, 'B D H W', { D: width })
      return decode(afterCodes(latents), latents)
    },
  }
}
