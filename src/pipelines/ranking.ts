import { FolderError, fromOpenAIClip, type HubOptions, openWeightFile, resolveModel } from '../checkpoints/index.ts'
import { NdArray } from '../runtime/ndarray.ts'
import type { CompileOptions } from '../runtime/program.ts'
import { basename, dirname, existsSync, join } from '../runtime/system.ts'
import { ClipTokenizer } from '../text/index.ts'
import { createClip } from './clip.ts'
import { type OpenedNetwork, openNetwork, storedIn } from './open/network.ts'
import { bundledModels, modelFolder } from './open/zoo.ts'
import { preparationIn, prepared } from './parts/image-encoder.ts'

/** A CLIP that tells how well pictures fit a text. */
export interface Ranker {
  /** As pictures name it. */
  readonly name: string
  /** Cosines of the pictures' embeddings with the text's: pictures [N, 3, H, W] in [−1, 1], of any size. */
  score(prompt: string, pictures: NdArray<'f32'>, signal?: AbortSignal): Promise<number[]>
  /** Frees the engine's memory. */
  release(): Promise<void>
}

export interface RankerOptions extends CompileOptions {
  readonly hub?: HubOptions
  /** For a file of OpenAI's: the folder with CLIP's vocabulary; by default the file's, or `tokenizer/` in it. */
  readonly tokenizer?: string | undefined
}

/** Pictures that are prepared and embedded together. */
const TOGETHER = 16

/**
 * Opens a CLIP as the ranker of any model's pictures: the folder of a transformers `CLIPModel` with its tokenizer, a bundled one, a name on
 * the hub, or a state dict of openai/CLIP. Pictures are prepared as its image processor does it.
 *
 * @throws HubError, ConfigError, FolderError, ModelConfigError, CheckpointError: what is wrong with which file
 */
export async function loadRanker(model: string, { hub = {}, tokenizer, ...options }: RankerOptions = {}): Promise<Ranker> {
  const { network, words, files } = await opened(model, hub, tokenizer)
  const { config, weights } = network
  const clip = createClip({ config, weights, tokenizer: words }, options)
  const preparation = preparationIn(files, config.vision_config.image_size)
  return {
    name: basename(model),
    async score(prompt, pictures, signal) {
      const text = await clip.embedTexts([prompt])
      const all: NdArray<'f32'>[] = []
      const count = pictures.shape[0] as number
      for (let from = 0; from < count; from += TOGETHER) {
        signal?.throwIfAborted()
        const rows = Array.from({ length: Math.min(TOGETHER, count - from) }, (_, i) => pictures.row(from + i).clamp(-1, 1))
        all.push(await clip.embedPixels(NdArray.concat(rows.map((picture) => prepared(picture, preparation)))))
      }
      return [
        ...NdArray.concat(all)
          .mul(text)
          .sum({ axes: [1] }).data,
      ]
    },
    release: () => clip.release(),
  }
}

async function opened(model: string, hub: HubOptions, tokenizer: string | undefined) {
  const bundled = !existsSync(model) && bundledModels().includes(model)
  const { kind, path } = bundled ? ({ kind: 'folder', path: modelFolder(model) } as const) : await resolveModel(model, hub)
  if (kind === 'folder') {
    const own = existsSync(join(path, 'tokenizer')) ? join(path, 'tokenizer') : path
    return { network: openNetwork(storedIn(path, ['CLIPModel'], {}, 'CLIPModel')), words: ClipTokenizer.open(own), files: path }
  }
  const { config, weights } = fromOpenAIClip(openWeightFile(path).tensors, path)
  const network: OpenedNetwork<'CLIPModel'> = openNetwork({
    ...{ className: 'CLIPModel', config, weights: () => weights, place: path, configPlace: path },
  })
  const places = [...(tokenizer === undefined ? [] : [tokenizer]), join(dirname(path), 'tokenizer'), dirname(path)]
  const found = places.find((dir) => ['vocab.json', 'tokenizer.json'].some((name) => existsSync(join(dir, name))))
  if (found === undefined)
    throw new FolderError(
      dirname(path),
      `no tokenizer here, and ${basename(path)} holds none: put CLIP's vocab.json and merges.txt beside it, as they lie in any Stable Diffusion 1 folder's tokenizer/`,
    )
  return { network, words: ClipTokenizer.open(found), files: dirname(path) }
}

/** Pictures by how well they fit. */
export interface Ranked {
  /** Positions of the pictures, the best first; of two as good, the earlier. */
  readonly order: readonly number[]
  /** By position. */
  readonly scores: readonly number[]
}

/** Sorts candidates by CLIP, as DALL·E's were (Ramesh et al. 2021, section 2.6). */
export async function rankPictures(
  ranker: Ranker,
  prompt: string,
  pictures: NdArray<'f32'>,
  signal?: AbortSignal,
): Promise<Ranked> {
  const scores = await ranker.score(prompt, pictures, signal)
  const order = scores.map((_, i) => i).sort((a, b) => (scores[b] as number) - (scores[a] as number) || a - b)
  return { order, scores }
}
