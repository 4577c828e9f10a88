export { wanVae } from './autoencoder.ts'
export { type WanConfig, type WanVaeConfig, wanConfig, wanSchema, wanVaeConfig, wanVaeSchema } from './config.ts'
export { type WanConditions, type WanTransformer, wanTransformer } from './network.ts'
