import type { ImageModelV4, ImageModelV4CallOptions } from '@ai-sdk/provider'
import { bytesOf, warningsOf } from './files.ts'
import type { Http } from './http.ts'

interface Images {
  readonly created: number
  readonly data: readonly { readonly b64_json: string; readonly seed?: number }[]
}

/** A model of a server. What is langevin's own stands under `providerOptions.langevin`, as `num_inference_steps`. */
export function remoteImageModel(modelId: string, http: Http): ImageModelV4 {
  let options: Promise<ReadonlySet<string>> | undefined
  /** Names of the model's options, asked for once. */
  const takes = (name: string) => {
    options ??= http(`/models/${modelId}`, { method: 'GET' })
      .then(({ response }) => response.json())
      .then((model) => new Set(Object.keys((model as { options: { properties: object } }).options.properties)))
    options.catch(() => {
      options = undefined
    })
    return options.then((names) => names.has(name)).catch(() => undefined)
  }
  return {
    ...{ specificationVersion: 'v4', provider: 'langevin', modelId, maxImagesPerCall: 10 },
    get supportsFileInputs() {
      return takes('image')
    },
    get supportsMaskInputs() {
      return takes('mask')
    },
    async doGenerate(call) {
      const { abortSignal: signal, headers } = call
      const edits = (call.files?.length ?? 0) > 0
      const body = edits ? formOf(modelId, call) : requestOf(modelId, call)
      const answer = await http(edits ? '/images/edits' : '/images/generations', { body, signal, headers })
      const { data, created } = (await answer.response.json()) as Images
      return {
        images: data.map(({ b64_json }) => b64_json),
        warnings: warningsOf(call),
        providerMetadata: { langevin: { images: data.map(({ seed }) => ({ seed: seed ?? null })) } },
        response: { timestamp: new Date(created * 1000), modelId, headers: answer.headers },
      }
    },
  }
}

const requestOf = (model: string, { prompt, n, size, seed, providerOptions }: ImageModelV4CallOptions) => ({
  ...{ model, prompt: prompt ?? '', n },
  ...(size !== undefined && { size }),
  ...(seed !== undefined && { seed }),
  ...providerOptions.langevin,
})

function formOf(model: string, call: ImageModelV4CallOptions): FormData {
  const form = new FormData()
  for (const [name, value] of Object.entries(requestOf(model, call)))
    form.append(name, typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value))
  for (const file of call.files ?? []) form.append('image', blobOf(bytesOf(file, 'files')), 'image')
  if (call.mask) form.append('mask', blobOf(bytesOf(call.mask, 'mask')), 'mask')
  return form
}

/** Without a media type: the server goes by the bytes. */
const blobOf = (bytes: Uint8Array) => new Blob([new Uint8Array(bytes)])
