export { type LatteConfig, latteConfig, latteSchema } from './config.ts'
export { type LatteConditions, type LatteTransformer, latteTransformer } from './network.ts'
