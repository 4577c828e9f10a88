export {
  type DiscreteVAEConfig,
  DVAE_FACTOR,
  discreteVAEConfig,
  discreteVAESchema,
  type OpenAIDiscreteVAEConfig,
  openAIDiscreteVAEConfig,
  openAIDiscreteVAEConfigOf,
  openAIDiscreteVAESchema,
} from './config.ts'
export { discreteVAE } from './discrete-vae.ts'
export {
  divergenceFromUniform,
  effectiveBeta,
  logitLaplace,
  mapPixels,
  type PixelDistribution,
  unmapPixels,
  usageDivergence,
} from './likelihood.ts'
export {
  hardTokens,
  type OpenAIDiscreteVAE,
  openAIDiscreteVAE,
  type TokenAutoencoder,
} from './network.ts'
export {
  betaSchedule,
  type CosineSchedule,
  gumbel,
  oneHot,
  relaxedCodes,
  sampledCodes,
  scheduled,
  temperatureSchedule,
} from './relaxation.ts'
