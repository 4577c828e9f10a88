import { FolderError, matchWeights, openWeightFile, resolveModel } from '../../checkpoints/index.ts'
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
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import { dirname, existsSync, join } from '../../runtime/system.ts'
import type { Weights } from '../../runtime/weights.ts'
import { hubOptions } from '../open/network.ts'
import type { OpenOptions } from '../open/source.ts'
import type { Conditioner } from '../parts/denoiser.ts'
import { type ImageEncoder, openImageEncoder, prepared } from '../parts/image-encoder.ts'
import { turns } from '../parts/turns.ts'

/** IP-Adapters of one U-Net at work, with the encoder of their pictures. */
export interface ImagePrompting {
  readonly adapters: readonly IpAdapter[]
  /** The tokens of an empty picture, and of the given one, by the adapter of this number: f32 [2, M, D]. */
  tokens(adapter: number, picture: NdArray): Promise<NdArray<'f32'>>
  release(): Promise<void>
}

/**
 * Opens IP-Adapters in the published layout, each one file, or its name on the hub (`org/name/models/file.safetensors`). Their
 * encoder is the one that is named, else the checkpoint's own, else `image_encoder/` beside the first file.
 *
 * @throws ModelConfigError, CheckpointError, FolderError
 */
export async function openImagePrompting(
  files: readonly string[],
  { unet, imageEncoder: own }: { readonly unet: { readonly weights: Weights }; readonly imageEncoder?: ImageEncoder | undefined },
  { imageEncoder: named, ...options }: OpenOptions & { readonly imageEncoder?: string | undefined },
  compileOptions: CompileOptions,
): Promise<ImagePrompting | undefined> {
  const [first] = files
  if (first === undefined) return undefined
  const paths = await Promise.all(
    files.map(async (name) => {
      const { kind, path } = await resolveModel(name, hubOptions(options))
      if (kind === 'file') return path
      throw new FolderError(path, 'is a folder; an IP-Adapter is one file, .safetensors or .bin')
    }),
  )
  const adapters = paths.map((path) => {
    const { config, projection, attention } = readIpAdapter(openWeightFile(path).tensors, path)
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
  return working(adapters, encoder, compileOptions)
}

const checkAttention = (keys: Iterable<string>, adapter: IpAdapter, place: string) => imagePromptWeights(keys, [adapter], place)

/**
 * Pictures that prompt beside the text (Ye et al. 2023). An entry without guidance sees an empty picture, as diffusers has it.
 *
 * @throws ArgumentError where pictures and adapters are not as many
 */
export async function imagePrompts(
  prompting: ImagePrompting | undefined,
  given: readonly { readonly picture: NdArray; readonly scale: number }[] = [],
  unet: { readonly weights: Weights },
): Promise<Conditioner[]> {
  const { adapters } = prompting ?? { adapters: [] }
  if (given.length !== adapters.length) {
    throw new ArgumentError(`imagePrompts: ${given.length} pictures for ${adapters.length} IP-Adapters: give one each`)
  }
  if (!prompting) return []
  const feeds: Record<string, NdArray> = {}
  for (const [i, { picture, scale }] of given.entries()) {
    feeds[`image prompt ${i}`] = await prompting.tokens(i, picture)
    feeds[`image prompt ${i} scale`] = NdArray.from([scale], [1])
  }
  const symbol = (name: string) => input(name, (feeds[name] as NdArray).shape)
  return [
    {
      key: JSON.stringify(['image prompts', Object.values(feeds).map(({ shape }) => shape)]),
      weights: imagePromptWeights(unet.weights.keys(), adapters),
      trace: ({ sample }) => ({
        imagePrompts: given.map((_, i) => ({
          tokens: seenBy(sample as Tensor, symbol(`image prompt ${i}`)),
          scale: symbol(`image prompt ${i} scale`),
        })),
      }),
      feeds: () => feeds,
    },
  ]
}

/** The tokens of an entry alone, or of the unguided one and of all others: [2, M, D] → [entries, M, D]. */
function seenBy({ shape: [entries = 1] }: Tensor, tokens: Tensor): Tensor {
  if (entries <= 2) return tokens.slice(0, 2 - entries, 2)
  return concat([tokens.slice(0, 0, 1), ...Array<Tensor>(entries - 1).fill(tokens.slice(0, 1, 2))], 0)
}

/** One program an adapter, its encoder within. */
function working(adapters: readonly IpAdapter[], encoder: ImageEncoder, options: CompileOptions): ImagePrompting {
  const turn = turns()
  const programs = new Programs((i: number) => {
    const { config, projection } = adapters[i] as IpAdapter
    const encode = clipVisionWithProjection(new Params('encoder'), encoder.config)
    const withEmpty = (x: Tensor) => concat([x.mul(0), x], 0)
    const x = input('pixels', [1, 3, encoder.preparation.crop, encoder.preparation.crop])
    const seen = config.kind === 'plain' ? withEmpty(encode(x).imageEmbeds) : (encode(withEmpty(x)).hiddenStates.at(-2) as Tensor)
    const tokens = imagePromptProjection(new Params('adapter'), config)(seen)
    const under = (name: string, weights: Weights) => [...weights].map(([key, value]) => [`${name}.${key}`, value] as const)
    const weights = new Map([...under('encoder', encoder.weights), ...under('adapter', projection)])
    return compile({ outputs: { tokens }, weights }, options)
  }, adapters.length)
  return {
    adapters,
    tokens: (i, picture) =>
      turn(async () => {
        const pixels = prepared(picture, encoder.preparation)
        return (await (await programs.get(i)).run({ pixels })).tokens as NdArray<'f32'>
      }),
    release: () => turn(() => programs.release()),
  }
}
