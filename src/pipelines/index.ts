export { finish } from '../diffusion/index.ts'
export { type Autoencoder, type AutoencoderOptions, createAutoencoder, loadAutoencoder } from './autoencoder.ts'
export { type Classification, type ImageClassifier, loadClassifier } from './classifier.ts'
export { type Clip, type ClipParts, clipNormalised, createClip, framed, loadClip } from './clip.ts'
export {
  createDdpm,
  type Ddpm,
  ddpmOptions,
  loadDdpm,
  type PictureSampling,
  type SampleOptions,
  type SampleProgress,
} from './ddpm.ts'
export { type DdpmParts, openDdpm, saveDdpm } from './ddpm-folder.ts'
export { createDetector, type Finding, type FoundObject, loadDetector, type SceneDetector } from './detector.ts'
export { type SamplerName, samplerNames, samplers } from './options.ts'
export {
  createPromptBatches,
  type PromptBatches,
  type PromptBatchOptions,
  type PromptBatchParts,
  partsOf,
} from './prompt-batches.ts'
export {
  createScoreSde,
  type LikelihoodOptions,
  loadScoreSde,
  type ScoreSde,
  type ScoreSdeOptions,
  type SdeSamplerName,
  scoreSdeOptions,
  sdeSamplerNames,
} from './score-sde.ts'
export * from './stable-diffusion/index.ts'
export {
  loadPictureModel,
  type PictureModel,
  type PictureOptions,
  type PictureSampler,
  pictureSamplers,
} from './unconditional.ts'
export { bundledModels, modelFolder } from './zoo.ts'
