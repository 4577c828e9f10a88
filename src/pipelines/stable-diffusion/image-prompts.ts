import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { FolderError, matchWeights, openSafetensors, resolveModel } from '../../checkpoints/index.ts'
import { ArgumentError } from '../../core/errors.ts'
import { concat } from '../../core/functions.ts'
import { input, type Tensor } from '../../core/tensor.ts'
import {
  clipVisionWithProjection,
  type IpAdapter,
  imagePromptProjection,
  imagePromptWeights,
  readIpAdapter,
} from '../../models/index.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, evaluate } from '../../runtime/program.ts'
import { hubOptions, type OpenOptions } from './components.ts'
import type { Companion } from './denoiser.ts'
import type { Settings } from './options.ts'
import type { Components } from './parts.ts'
import { type ImageEncoder, openImageEncoder, prepared } from './vision.ts'

/** IP-Adapters of one U-Net, and the encoder of their pictures. */
export interface ImagePrompting {
  readonly adapters: readonly IpAdapter[]
  readonly encoder: ImageEncoder
}

/**
 * Opens IP-Adapters in the published layout, each one file, or its name on the hub (`org/name/models/file.safetensors`). Their
 * encoder is the one that is named, else the checkpoint's own, else `image_encoder/` beside the first file.
 *
 * @throws ModelConfigError, CheckpointError, FolderError
 */
export async function openImagePrompting(
  files: readonly string[],
  { unet, imageEncoder: own }: Components,
  { imageEncoder: named, ...options }: OpenOptions & { readonly imageEncoder?: string | undefined },
): Promise<ImagePrompting | undefined> {
  const [first] = files
  if (first === undefined) return undefined
  const paths = await Promise.all(
    files.map(async (name) => {
      const { kind, path } = await resolveModel(name, hubOptions(options))
      if (kind === 'file') return path
      throw new FolderError(path, 'is a folder; an IP-Adapter is one .safetensors file')
    }),
  )
  const adapters = paths.map((path) => {
    const { config, projection, attention } = readIpAdapter(openSafetensors(path).tensors, path)
    const p = new Params()
    imagePromptProjection(p, config)
    return { config, attention, projection: matchWeights(p.tensors, projection, { place: path }) }
  })
  for (const [i, path] of paths.entries()) checkAttention(unet.weights.keys(), adapters[i] as IpAdapter, path)
  const beside = join(dirname(paths[0] as string), 'image_encoder')
  const folder = named ?? (own ? undefined : beside)
  if (folder === beside && !existsSync(beside)) {
    throw new FolderError(beside, `no image encoder beside ${paths[0]}, and the checkpoint has none: name one with imageEncoder`)
  }
  const encoder = folder === undefined ? (own as ImageEncoder) : await openImageEncoder(folder, options)
  for (const [i, { config }] of adapters.entries()) {
    const given = config.kind === 'plain' ? encoder.config.projection_dim : encoder.config.hidden_size
    if (given !== config.embedWidth) {
      throw new ArgumentError(
        `${paths[i]}: takes pictures as ${config.embedWidth} numbers, and the image encoder gives ${given}: name its own encoder with imageEncoder`,
      )
    }
  }
  return { adapters, encoder }
}

const checkAttention = (keys: Iterable<string>, adapter: IpAdapter, place: string) => imagePromptWeights(keys, [adapter], place)

/**
 * Pictures that prompt beside the text (Ye et al. 2023). A row without guidance sees an empty picture, as diffusers has it.
 *
 * @throws ArgumentError where pictures and adapters are not as many
 */
export async function imagePrompts(
  prompting: ImagePrompting | undefined,
  settings: Settings,
  { unet }: Components,
  options: CompileOptions,
): Promise<Companion[]> {
  const given = settings.imagePrompts ?? []
  const { adapters, encoder } = prompting ?? { adapters: [], encoder: undefined }
  if (given.length !== adapters.length) {
    throw new ArgumentError(`imagePrompts: ${given.length} pictures for ${adapters.length} IP-Adapters: give one each`)
  }
  if (!encoder) return []
  const feeds: Record<string, NdArray> = {}
  for (const [i, { picture, scale }] of given.entries()) {
    feeds[`image prompt ${i}`] = await tokensOf(adapters[i] as IpAdapter, encoder, picture, options)
    feeds[`image prompt ${i} scale`] = NdArray.from([scale], [1])
  }
  const symbol = (name: string) => input(name, (feeds[name] as NdArray).shape)
  return [
    {
      key: JSON.stringify(['image prompts', Object.values(feeds).map(({ shape }) => shape)]),
      weights: imagePromptWeights(unet.weights.keys(), adapters),
      draw: ({ sample }) => ({
        imagePrompts: given.map((_, i) => ({
          tokens: symbol(`image prompt ${i}`).slice(0, 2 - rowsOf(sample), 2),
          scale: symbol(`image prompt ${i} scale`),
        })),
      }),
      feeds: () => feeds,
    },
  ]
}

function rowsOf({ shape: [rows] }: Tensor): number {
  if (rows === 1 || rows === 2) return rows
  throw new ArgumentError('imagePrompts: this model guides by its own picture and takes no IP-Adapter')
}

/** The tokens of an empty picture, and of the given one: f32 [2, M, D]. */
async function tokensOf(
  { config, projection }: IpAdapter,
  encoder: ImageEncoder,
  picture: NdArray,
  options: CompileOptions,
): Promise<NdArray<'f32'>> {
  const pixels = prepared(picture, encoder.preparation)
  const encode = clipVisionWithProjection(new Params('encoder'), encoder.config)
  const withEmpty = (x: Tensor) => concat([x.mul(0), x], 0)
  const x = input('pixels', pixels.shape)
  const seen = config.kind === 'plain' ? withEmpty(encode(x).imageEmbeds) : (encode(withEmpty(x)).hiddenStates.at(-2) as Tensor)
  const tokens = imagePromptProjection(new Params('adapter'), config)(seen)
  const under = (name: string, weights: ImageEncoder['weights']) =>
    [...weights].map(([key, value]) => [`${name}.${key}`, value] as const)
  const weights = new Map([...under('encoder', encoder.weights), ...under('adapter', projection)])
  return (await evaluate({ outputs: { tokens }, weights }, { pixels }, options)).tokens as NdArray<'f32'>
}
