import { ArgumentError } from '../../core/errors.ts'
import { type DalleConfig, type TokenChoice, textInput } from '../../models/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { CompileOptions } from '../../runtime/program.ts'
import type { ClipTokenizer } from '../../text/index.ts'
import type { Network } from '../open/network.ts'
import { openSource } from '../open/open.ts'
import { clipTokenizer, network, openParts } from '../open/parts.ts'
import { parts } from '../options.ts'
import { type TokenNetwork, tokenAutoencoder, tokenCoder } from '../parts/token-coder.ts'
import { tokenSampler } from './sampler.ts'

export interface DalleParts {
  readonly transformer: Network<DalleConfig>
  readonly dvae: TokenNetwork
  readonly tokenizer: ClipTokenizer
}

export interface CaptionBatchOptions extends TokenChoice {
  readonly guidance: number
  readonly seed: number
  /** Pictures of so many captions at once. */
  readonly batch?: number
  readonly signal?: AbortSignal | undefined
  readonly onPictures?: ((done: number, total: number) => void) | undefined
}

/** A text's tokens, as the transformer takes them. @throws ArgumentError for a token that it does not know */
export function textTokens(tokenizer: Pick<ClipTokenizer, 'encode'>, config: DalleConfig, place: string, prompt: string) {
  const words = tokenizer.encode(prompt)
  const strange = words.find((token) => token >= config.num_text_tokens)
  if (strange !== undefined)
    throw new ArgumentError(`${place}: the tokenizer has a token ${strange}, and the transformer knows ${config.num_text_tokens}`)
  return { text: textInput(words, config), left: Math.max(0, words.length - config.text_seq_len) }
}

/** A model whose captions go through it in batches, to be measured: picture k is that of the page for its caption and `seed + k`. */
export function createCaptionBatches({ transformer, dvae, tokenizer }: DalleParts, options: CompileOptions = {}) {
  const { config } = transformer
  const sampler = tokenSampler(transformer, options)
  const coder = tokenCoder(dvae, options)
  const side = config.image_fmap_size
  /** Tokens i64 [captions, tokens]. */
  const sample = async (captions: readonly string[], { batch = 32, seed, onPictures, ...run }: CaptionBatchOptions) => {
    const found: NdArray<'i64'>[] = []
    for (const [from, to] of parts(captions.length, batch)) {
      const texts = captions.slice(from, to).map((caption) => textTokens(tokenizer, config, 'captions', caption).text)
      const steps = sampler.sample({ ...run, texts, seed: seed + from })
      let next = await steps.next()
      while (!next.done) next = await steps.next()
      found.push(next.value)
      onPictures?.(to, captions.length)
    }
    return NdArray.concat(found)
  }
  return {
    coder,
    config,
    tokenizer,
    /** Pixels a side of its pictures. */
    size: side * coder.factor,
    sample,
    /** Pictures [captions, 3, H, W] in [−1, 1]. */
    async generate(captions: readonly string[], options: CaptionBatchOptions): Promise<NdArray<'f32'>> {
      const tokens = await sample(captions, options)
      return coder.decode(tokens.reshape([captions.length, side, side]))
    },
    async release() {
      await sampler.release()
      await coder.release()
    },
  }
}

/** The same of a model's folder or file. @throws as `loadPipeline` */
export async function loadCaptionBatches(model: string, options: CompileOptions = {}) {
  return createCaptionBatches(await openDalle(model), options)
}

/** The parts of a model's folder or file. @throws as `loadPipeline` */
export const openDalle = async (model: string): Promise<DalleParts> => openParts(await openSource(model), dalleParts, {})

/** What a DALL·E has, by the components' names. */
export const dalleParts = { dvae: tokenAutoencoder(), transformer: network(['DALLE']), tokenizer: clipTokenizer() }
