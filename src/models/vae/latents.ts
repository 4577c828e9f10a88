import { range } from '../../core/shape.ts'
import { constant, type Tensor } from '../../core/tensor.ts'

/** The fields by which an autoencoder's config says how its latents are scaled. */
export interface LatentFields {
  readonly latent_channels: number
  readonly scaling_factor: number
  readonly shift_factor?: number | null
  readonly latents_mean?: readonly number[] | null
  readonly latents_std?: readonly number[] | null
}

/**
 * Mean and standard deviation of each channel, as diffusion models take them: a model sees (z − mean)/std. Where the config has
 * a mean and a standard deviation, they hold beside the factor, and the shift does not.
 */
export function latentStatistics(config: LatentFields): { readonly mean: readonly number[]; readonly std: readonly number[] } {
  const { latent_channels: channels, scaling_factor: factor, shift_factor: shift, latents_mean, latents_std } = config
  return {
    mean: latents_mean ?? range(channels).map(() => shift ?? 0),
    std: (latents_std ?? range(channels).map(() => 1)).map((std) => std / factor),
  }
}

/** An encoder's latents [B, C, H, W] as a diffusion model takes them. */
export function standardizeLatents(latents: Tensor, config: LatentFields): Tensor {
  const { mean, std } = columns(config)
  return latents.sub(mean).div(std)
}

/** A diffusion model's latents [B, C, H, W] as the decoder takes them. */
export function restoreLatents(latents: Tensor, config: LatentFields): Tensor {
  const { mean, std } = columns(config)
  return latents.mul(std).add(mean)
}

function columns(config: LatentFields): { mean: Tensor; std: Tensor } {
  const { mean, std } = latentStatistics(config)
  return { mean: constant(mean, [1, mean.length, 1, 1]), std: constant(std, [1, std.length, 1, 1]) }
}
