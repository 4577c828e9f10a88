export {
  type ClipConfig,
  type ClipTextConfig,
  type ClipVisionConfig,
  clipConfig,
  clipTextConfig,
  clipVisionConfig,
} from './config.ts'
export { type ClipOptions, type ClipScores, clip, contrastiveLoss } from './contrastive.ts'
export { isClipBuffer, renameClipText, renameClipVision } from './keys.ts'
export { type ClipText, type ClipTextOutput, clipText, clipTextWithProjection } from './text.ts'
export { type ClipVision, type ClipVisionOutput, clipPixels, clipVision, clipVisionWithProjection } from './vision.ts'
