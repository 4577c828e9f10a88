export { type DitConfig, ditConfig, ditFields, ditSchema } from './config.ts'
export { type DitTransformer, ditTransformer } from './network.ts'
