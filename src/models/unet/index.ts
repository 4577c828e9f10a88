export { type UNet2DConfig, unet2dConfig, unet2dSchema } from './config.ts'
export { type UNet2D, type UNet2DOptions, unet2d } from './network.ts'
