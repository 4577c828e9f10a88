export {
  type AutoregressiveConditions,
  type AutoregressivePriorConfig,
  autoregressivePrior,
  autoregressivePriorConfig,
  codesLoss,
} from './autoregressive.ts'
export {
  type EmbeddingNormalizerConfig,
  embeddingNormalizerConfig,
  type PriorConfig,
  priorConfig,
  type UnclipTextConfig,
  unclipTextConfig,
} from './config.ts'
export {
  codesToEmbedding,
  type EmbeddingCodes,
  type EmbeddingCodesOptions,
  embeddingToCodes,
  fitEmbeddingCodes,
} from './embedding-codes.ts'
export { type EmbeddingNormalizer, embeddingNormalizer } from './normalizer.ts'
export { type Prior, type PriorConditions, priorTransformer } from './prior.ts'
export { type UnclipConditions, type UnclipText, unclipTextProjection } from './text-projection.ts'
