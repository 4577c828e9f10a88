export * from './classifier/index.ts'
export * from './clip/index.ts'
export { type ConfigFault, ModelConfigError } from './config.ts'
export * from './unet/index.ts'
