import { dims } from '../../core/shape.ts'
import type { Tensor } from '../../core/tensor.ts'
import { conv, sequence } from '../../nn/layers.ts'
import type { Params } from '../../nn/params.ts'
import { decoder, encoder } from './coder.ts'
import type { AutoencoderKLConfig } from './config.ts'

/** The encoder's Gaussian: each [B, latent_channels, H/f, W/f]. */
export interface Posterior {
  readonly mean: Tensor
  /** ln σ², between −30 and 20. */
  readonly logVariance: Tensor
}

export interface AutoencoderKL {
  /** images [B, C, H, W] in [−1, 1]. */
  readonly encode: (images: Tensor) => Posterior
  /** latents [B, latent_channels, H, W], as the encoder gives them: unscaled → images [B, C, f·H, f·W]. */
  readonly decode: (latents: Tensor) => Tensor
}

/**
 * The variational autoencoder of latent diffusion (Rombach et al. 2022, appendix G), with the keys of diffusers' `AutoencoderKL`.
 * Older checkpoints name the attention's layers otherwise: `renameAttention` reads them.
 */
export function autoencoderKL(p: Params, config: AutoencoderKLConfig): AutoencoderKL {
  const { latent_channels: channels } = config
  const encodeMoments = sequence(
    encoder(p.at('encoder'), config, 2 * channels),
    ...(config.use_quant_conv ? [conv(p.at('quant_conv'), 2 * channels, 2 * channels, 1)] : []),
  )
  const decodeLatents = sequence(
    ...(config.use_post_quant_conv ? [conv(p.at('post_quant_conv'), channels, channels, 1)] : []),
    decoder(p.at('decoder'), config),
  )
  return {
    encode: (images) => {
      dims(images, 'B C H W', { C: config.in_channels })
      const [mean, logVariance] = encodeMoments(images).split(2, 1) as [Tensor, Tensor]
      return { mean, logVariance: logVariance.clip(-30, 20) }
    },
    decode: (latents) => {
      dims(latents, 'B C H W', { C: channels })
      return decodeLatents(latents)
    },
  }
}

/** mean + σ·noise, noise ~ N(0, 1) in the mean's shape. */
export const samplePosterior = ({ mean, logVariance }: Posterior, noise: Tensor): Tensor =>
  mean.add(logVariance.mul(0.5).exp().mul(noise))

/** KL(posterior ‖ N(0, 1)) of each picture, in nats: [B] (Kingma and Welling 2014, appendix B). */
export const klDivergence = ({ mean, logVariance }: Posterior): Tensor =>
  mean.square().add(logVariance.exp()).sub(1).sub(logVariance).sum([1, 2, 3]).mul(0.5)
