import type { Experimental_VideoModelV4, Experimental_VideoModelV4CallOptions } from '@ai-sdk/provider'
import type { Http } from './http.ts'

interface Video {
  readonly id: string
  readonly status: 'queued' | 'in_progress' | 'completed' | 'failed'
  readonly created_at: number
  readonly error: { readonly message: string } | null
}

/** A model of a server whose pipeline makes films: a call is a job of its queue. */
export function remoteVideoModel(modelId: string, http: Http): Experimental_VideoModelV4 {
  const facts = (created: number, headers: Record<string, string>) => ({ timestamp: new Date(created * 1000), modelId, headers })
  return {
    ...{ specificationVersion: 'v4', provider: 'langevin', modelId, maxVideosPerCall: 1 },
    async doStart(call) {
      const answer = await http('/videos', { body: requestOf(modelId, call), signal: call.abortSignal, headers: call.headers })
      const { id, created_at } = (await answer.response.json()) as Video
      return { operation: { id }, warnings: warningsOf(call), response: facts(created_at, answer.headers) }
    },
    async doStatus({ operation, abortSignal: signal, headers }) {
      const { id } = operation as { id: string }
      const answer = await http(`/videos/${id}`, { method: 'GET', signal, headers })
      const { status, error, created_at } = (await answer.response.json()) as Video
      const response = facts(created_at, answer.headers)
      if (status === 'failed') return { status: 'error', error: error?.message ?? 'it failed', response }
      if (status !== 'completed') return { status: 'pending', response }
      const content = await http(`/videos/${id}/content`, { method: 'GET', signal, headers })
      const data = new Uint8Array(await content.response.arrayBuffer())
      return {
        status,
        videos: [{ type: 'binary', data, mediaType: content.headers['content-type'] ?? 'video/mp4' }],
        warnings: [],
        response,
      }
    },
  }
}

const requestOf = (
  model: string,
  { prompt, resolution, duration, seed, providerOptions }: Experimental_VideoModelV4CallOptions,
) => ({
  ...{ model, prompt: prompt ?? '' },
  ...(resolution !== undefined && { size: resolution }),
  ...(duration !== undefined && { seconds: duration }),
  ...(seed !== undefined && { seed }),
  ...providerOptions.langevin,
})

/** What of a call has no counterpart here. */
function warningsOf(call: Experimental_VideoModelV4CallOptions) {
  const { aspectRatio, fps, image, frameImages, inputReferences, generateAudio } = call
  const given = Object.entries({
    aspectRatio,
    fps,
    image,
    frameImages,
    inputReferences,
    generateAudio: generateAudio || undefined,
  })
  return given.filter(([, value]) => value !== undefined).map(([feature]) => ({ type: 'unsupported' as const, feature }))
}
