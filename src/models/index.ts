export { type ConfigFault, ModelConfigError } from './config.ts'
export * from './unet/index.ts'
