export { type AutoencoderKL, autoencoderKL, klDivergence, type Posterior, samplePosterior } from './autoencoder-kl.ts'
export { type AutoencoderTiny, autoencoderTiny } from './autoencoder-tiny.ts'
export {
  type AutoencoderKLConfig,
  type AutoencoderTinyConfig,
  autoencoderKLConfig,
  autoencoderKLSchema,
  autoencoderTinyConfig,
  autoencoderTinySchema,
  type VQModelConfig,
  vqModelConfig,
  vqModelSchema,
} from './config.ts'
export { type LatentFields, latentStatistics, restoreLatents, standardizeLatents } from './latents.ts'
export { type Coder, sliced, type Tiling, tiled, tilingOf } from './tiling.ts'
export { type Quantized, type VQModel, vqModel } from './vq-model.ts'
