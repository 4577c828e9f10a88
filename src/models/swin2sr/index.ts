export { type Swin2SrConfig, swin2SrConfig, swin2SrConfigOf, swin2SrSchema } from './config.ts'
export { swin2Sr } from './network.ts'
