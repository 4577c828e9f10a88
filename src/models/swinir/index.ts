export { isSwinBuffer, type SwinIrConfig, swinIrConfig, swinIrConfigOf, swinIrSchema } from './config.ts'
export { swinIr } from './network.ts'
