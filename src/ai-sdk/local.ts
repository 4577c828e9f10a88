import { randomInt } from 'node:crypto'
import { type ImageModelV4, type ImageModelV4CallOptions, InvalidArgumentError } from '@ai-sdk/provider'
import { bytesOf, warningsOf } from './files.ts'

/** A model of this process. `providerOptions.langevin` are the pipeline's own options, as `steps`. */
export function localImageModel(modelId: string, load: Readonly<Record<string, unknown>>): ImageModelV4 {
  let opened: Promise<import('../pipelines/load.ts').Pipeline> | undefined
  const open = () => {
    opened ??= import('../pipelines/load.ts').then(({ loadPipeline }) => loadPipeline(modelId, load))
    opened.catch(() => {
      opened = undefined
    })
    return opened
  }
  const takes = async (name: string) => name in (await open()).schema.shape
  return {
    ...{ specificationVersion: 'v4', provider: 'langevin', modelId, maxImagesPerCall: 10 },
    get supportsFileInputs() {
      return takes('image')
    },
    get supportsMaskInputs() {
      return takes('mask')
    },
    async doGenerate(call) {
      const pipeline = await open()
      const known = pipeline.schema.shape
      const seed = call.seed ?? randomInt(2 ** 32 - 1)
      const options = { ...(await optionsOf(call, known)), ...('seed' in known && { seed }) }
      const [{ finish }, { encodePng, imagesOf }] = await Promise.all([
        import('../diffusion/denoiser.ts'),
        import('../images/index.ts'),
      ])
      const result = await finish(pipeline.generate({ ...options, signal: call.abortSignal }))
      if (result.type !== 'pictures')
        throw new InvalidArgumentError({ argument: 'model', message: `${modelId} makes ${result.type}, not pictures` })
      const images = await Promise.all(imagesOf(result.pictures).map((picture) => encodePng(picture)))
      return {
        ...{ images, warnings: warningsOf(call), response: { timestamp: new Date(), modelId, headers: undefined } },
        providerMetadata: { langevin: { images: images.map((_, i) => ({ seed: 'seed' in known ? seed + i : null })) } },
      }
    },
  }
}

/** A call in the words of the pipeline's page. @throws InvalidArgumentError for what the page lacks */
async function optionsOf(
  call: ImageModelV4CallOptions,
  known: Readonly<Record<string, unknown>>,
): Promise<Record<string, unknown>> {
  const { decodeImage, decodeMask } = await import('../images/index.ts')
  const { prompt, n, size, files = [], mask, providerOptions } = call
  const options: Record<string, unknown> = {}
  const set = (argument: string, name: string, value: unknown) => {
    if (!(name in known)) throw new InvalidArgumentError({ argument, message: `${argument}: this model takes no ${name}` })
    options[name] = value
  }
  if (prompt !== undefined && 'prompt' in known) options.prompt = prompt
  else if (prompt !== undefined && 'label' in known) options.label = [prompt]
  if (n > 1) set('n', 'num', n)
  const [width, height] = size?.split('x').map(Number) ?? []
  if (width !== undefined) set('size', 'width', width)
  if (height !== undefined) set('size', 'height', height)
  const [file, ...more] = files
  if (more.length > 0) throw new InvalidArgumentError({ argument: 'files', message: 'files: one picture at a time' })
  if (file) set('files', 'image', await decodeImage(bytesOf(file, 'files')))
  // As OpenAI has it: what is transparent is repainted.
  if (mask) set('mask', 'mask', await decodeMask(bytesOf(mask, 'mask'), { alpha: 'transparent' }))
  return { ...options, ...providerOptions.langevin }
}
