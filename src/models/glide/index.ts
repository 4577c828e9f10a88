export { type GlideImageEncoder, glideClipImage, glideClipText } from './clip.ts'
export {
  type GlideClipConfig,
  type GlideConfig,
  glideChannels,
  glideClipConfig,
  glideConfig,
  glideUpsampler,
} from './config.ts'
export type { GlideText } from './text.ts'
export { type Glide, glide } from './unet.ts'
