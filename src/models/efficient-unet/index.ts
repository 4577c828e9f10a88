export { type EfficientUNetConfig, efficientUnetConfig, efficientUnetSchema } from './config.ts'
export { type EfficientExtras, type EfficientUNet, efficientUnet } from './network.ts'
