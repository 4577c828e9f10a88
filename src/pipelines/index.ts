export { finish } from '../diffusion/index.ts'
export { type Autoencoder, type AutoencoderOptions, createAutoencoder, loadAutoencoder } from './autoencoder.ts'
export { type CascadeStage, loadCascade } from './cascade.ts'
export { type Classification, type ImageClassifier, loadClassifier } from './classifier.ts'
export { type Clip, type ClipParts, clipNormalised, createClip, framed, loadClip } from './clip.ts'
export { type Region, type RegionMode, regionWeights } from './conditioning/regions.ts'
export {
  type CaptionBatchOptions,
  createCaptionBatches,
  type DalleParts,
  loadCaptionBatches,
  openDalle,
} from './dalle/caption-batches.ts'
export { type DdpmParts, openDdpm, saveDdpm } from './ddpm/folder.ts'
export {
  createDdpm,
  type Ddpm,
  ddpmOptions,
  loadDdpm,
  type PictureSampling,
  type SampleOptions,
  type SampleProgress,
} from './ddpm/model.ts'
export {
  loadPictureModel,
  type PictureModel,
  type PictureOptions,
  type PictureSampler,
  pictureSamplers,
} from './ddpm/unconditional.ts'
export { createDetector, type Finding, type FoundObject, loadDetector, type SceneDetector } from './detector.ts'
export { type ClassBatches, type ClassBatchParts, createClassBatches } from './dit/class-batches.ts'
export { loadPipeline, type Pipeline, type RunInput } from './load.ts'
export { type ClassName, type NetworkClass, networkClasses } from './open/classes.ts'
export { type Network, type OpenedNetwork, openNetwork, openNetworkAt, storedIn } from './open/network.ts'
export { autoencoder, network, optional, type Part, type PartsOf, type PartTable, scheduler } from './open/parts.ts'
export type { ModelSource } from './open/source.ts'
export { bundledModels, modelFolder } from './open/zoo.ts'
export {
  numOption,
  parseOptions,
  type SamplerName,
  samplerNames,
  samplers,
  schedulerOption,
  seedOption,
  stepsOption,
} from './options.ts'
export {
  type Generation,
  type Opened,
  type Output,
  type Page,
  type PageSpec,
  type Plan,
  type Progress,
  page,
  type Result,
} from './page.ts'
export { factorOf, type LatentCoder, latentAutoencoder, latentCoder } from './parts/autoencoder.ts'
export { type BatchEntry, type Conditioner, type Denoiser, denoiser, type Trace } from './parts/denoiser.ts'
export { simplexPlaces } from './parts/simplex-model.ts'
export {
  type T5Encoded,
  type T5Reading,
  type T5TextEncoder,
  t5Encoder,
  t5Length,
  t5TextEncoder,
  type WorkingT5Encoder,
} from './parts/t5-encoder.ts'
export { clipTextEncoder, type TextEncoder as ClipTextEncoder, textEncoder } from './parts/text-encoder.ts'
export { loadTokenCoder, type TokenCoder, type TokenCoderOptions, type TokenNetwork, tokenCoder } from './parts/token-coder.ts'
export { type VideoCoder, type VideoNetwork, videoCoder } from './parts/video-autoencoder.ts'
export { createPromptBatches, type PromptBatches, type PromptBatchOptions } from './prompt-batches.ts'
export { type FlowBatchParts, flowTokens, openFlowParts, type PromptBatchParts, partsOf } from './prompt-models.ts'
export { loadRanker, type Ranked, type Ranker, rankPictures } from './ranking.ts'
export { type Combine, guidedBy } from './sampling/guidance.ts'
export { type LatentRun, type Prepared, sampleLatents } from './sampling/run.ts'
export { scheduleOf } from './sampling/schedule.ts'
export { schedulerFor } from './sampling/schedulers.ts'
export {
  createScoreSde,
  type LikelihoodOptions,
  loadScoreSde,
  type ScoreSde,
  type ScoreSdeOptions,
  type SdeSamplerName,
  scoreSdeOptions,
  sdeSamplerNames,
} from './score-sde/model.ts'
export * from './stable-diffusion/index.ts'
export { type AutoregressiveSampler, autoregressiveSampler } from './unclip/autoregressive.ts'
export { codesFile, openEmbeddingCodes } from './unclip/codes.ts'
export { latentUnclipClass } from './unclip/latent-page.ts'
export { likeliest, type WorkingPrior, workingPrior } from './unclip/prior.ts'
export type { EncodedPrompt } from './unclip/texts.ts'
export * from './upscale/index.ts'
