export { type UNet2DConditionConfig, unet2dConditionConfig, unet2dConditionSchema } from './config.ts'
export { type Extras as UNetExtras, HINT_CHANNELS } from './embeddings.ts'
export { type Residuals as UNetResiduals, type UNet2DCondition, type UNet2DConditionOptions, unet2dCondition } from './network.ts'
