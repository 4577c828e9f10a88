import type { Tensor } from '../../core/tensor.ts'
import { onesInit, type Params, zerosInit } from '../../nn/params.ts'
import type { EmbeddingNormalizerConfig } from './config.ts'

/** Mean and deviation of a picture's embeddings, with the keys of diffusers' `StableUnCLIPImageNormalizer`. */
export interface EmbeddingNormalizer {
  /** [B, embedding_dim] → the same with mean 0 and deviation 1 over the data. */
  readonly scale: (embeds: Tensor) => Tensor
  readonly unscale: (embeds: Tensor) => Tensor
}

export function embeddingNormalizer(p: Params, { embedding_dim: D }: EmbeddingNormalizerConfig): EmbeddingNormalizer {
  const [mean, std] = [p.get('mean', [1, D], zerosInit), p.get('std', [1, D], onesInit)]
  return { scale: (embeds) => embeds.sub(mean).div(std), unscale: (embeds) => embeds.mul(std).add(mean) }
}
