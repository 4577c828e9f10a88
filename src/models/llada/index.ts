export { dreamConfig, type LanguageConfig, lladaConfig } from './config.ts'
export { dream, isRotaryBuffer, type LanguageModel, type LanguageOptions, llada } from './network.ts'
