import { type Experimental_VideoModelV4, type ImageModelV4, NoSuchModelError, type ProviderV4 } from '@ai-sdk/provider'
import { httpOf } from './http.ts'
import { localImageModel } from './local.ts'
import type { LangevinProviderSettings } from './provider-settings.ts'
import { remoteImageModel } from './remote-images.ts'
import { remoteVideoModel } from './remote-videos.ts'

/** Models for the Vercel AI SDK: `generateImage({ model: langevin.image('stickers-t2i'), prompt })`. */
export interface LangevinProvider extends ProviderV4 {
  /** The image model of this name; of this process, whatever `loadPipeline` opens. */
  (modelId: string): ImageModelV4
  image(modelId: string): ImageModelV4
  imageModel(modelId: string): ImageModelV4
  /** A model whose pipeline makes films, on a server. */
  video(modelId: string): Experimental_VideoModelV4
  videoModel(modelId: string): Experimental_VideoModelV4
}

/** A provider of the Vercel AI SDK, of a server or of this process. */
export function createLangevin(settings: LangevinProviderSettings = {}): LangevinProvider {
  const http = settings.baseURL === undefined ? undefined : httpOf({ ...settings, baseURL: settings.baseURL })
  const image = (modelId: string) => (http ? remoteImageModel(modelId, http) : localImageModel(modelId, settings.load ?? {}))
  const video = (modelId: string): Experimental_VideoModelV4 => {
    if (http) return remoteVideoModel(modelId, http)
    throw new NoSuchModelError({ modelId, modelType: 'videoModel', message: 'films are made on a server: give a baseURL' })
  }
  const none = (modelType: 'languageModel' | 'embeddingModel') => (modelId: string) => {
    throw new NoSuchModelError({ modelId, modelType })
  }
  return Object.assign((modelId: string) => image(modelId), {
    ...{ specificationVersion: 'v4' as const, image, imageModel: image, video, videoModel: video },
    ...{ languageModel: none('languageModel'), embeddingModel: none('embeddingModel') },
  })
}
