import { ArgumentError } from '../../core/errors.ts'
import type { SchedulerConfig } from '../../diffusion/index.ts'
import type { AutoregressivePriorConfig, EmbeddingCodes } from '../../models/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { Generator } from '../../runtime/random.ts'
import type { OpenedNetwork } from '../open/network.ts'
import { openSource } from '../open/open.ts'
import { network, openParts, scheduler } from '../open/parts.ts'
import type { LoadOptions, Opened, Progress, Releasable } from '../page.ts'
import { clipTextEncoder, textEncoder, type WorkingTextEncoder } from '../parts/text-encoder.ts'
import { autoregressiveSampler } from './autoregressive.ts'
import { embeddingCodes } from './codes.ts'
import type { LatentSettings } from './options.ts'
import { likeliest, workingPrior } from './prior.ts'
import { type EncodedPrompt, encodePrompts } from './texts.ts'

type PriorSettings = Pick<LatentSettings, 'priorSteps' | 'priorGuidance' | 'priorCandidates' | 'priorTemperature'>

/** A prior of either kind: a prompt's pictures' embeddings, [num, D]. */
export interface EmbeddingPrior extends Releasable {
  readonly width: number
  /** What a picture's metadata say of it. */
  inWords(settings: PriorSettings): Record<string, number | undefined>
  sample(
    prompt: string,
    settings: PriorSettings,
    generators: readonly Generator[],
    signal?: AbortSignal,
  ): AsyncGenerator<Progress, NdArray<'f32'>, void>
}

type Done = Pick<Opened, 'compile' | 'done'>

/** The diffusion prior: several embeddings drawn for each picture, of which the nearest to the prompt's own is kept. */
export function diffusionPrior(
  prior: OpenedNetwork<'PriorTransformer'>,
  stored: SchedulerConfig,
  text: WorkingTextEncoder,
  { compile, done }: Done,
): EmbeddingPrior {
  const working = workingPrior(prior, stored, compile)
  return {
    width: prior.config.embedding_dim,
    inWords: ({ priorSteps, priorGuidance, priorCandidates }) => ({
      'Prior steps': priorSteps,
      'Prior CFG scale': priorGuidance,
      'Prior candidates': priorCandidates > 1 ? priorCandidates : undefined,
    }),
    async *sample(prompt, { priorSteps: steps, priorGuidance: guidance, priorCandidates }, generators, signal) {
      const [empty, own] = (await encodePrompts(text, ['', prompt], signal)) as [EncodedPrompt, EncodedPrompt]
      const times = <T>(value: T): T[] => Array<T>(priorCandidates).fill(value)
      const from = guidance > 1 ? times(empty) : undefined
      const drawn = yield* working.sample({ texts: times(own), from, guidance, steps, generators, signal })
      await done(working)
      return likeliest(drawn, own.textEmbeds)
    },
    release: () => working.release(),
  }
}

/** The autoregressive prior: an embedding's principal components one after another. */
export function codePrior(
  prior: OpenedNetwork<'AutoregressivePrior'>,
  codes: EmbeddingCodes,
  text: WorkingTextEncoder,
  { compile, done }: Done,
): EmbeddingPrior {
  const { config, weights } = prior as { config: AutoregressivePriorConfig; weights: typeof prior.weights }
  const sampler = autoregressiveSampler({ config, weights, codes }, compile)
  return {
    width: config.embedding_dim,
    inWords: ({ priorTemperature }) => ({ 'Prior temperature': priorTemperature }),
    async *sample(prompt, { priorTemperature: temperature }, generators, signal) {
      const [own] = (await encodePrompts(text, [prompt], signal)) as [EncodedPrompt]
      const made: NdArray<'f32'>[] = []
      for (const [picture, generator] of generators.entries()) {
        const latents = await sampler.sample({ text: own, generator, temperature, signal })
        made.push(latents)
        const done = picture + 1
        yield { picture, i: 0, done, total: generators.length, latents, preview: async () => ({ type: 'latents', latents }) }
      }
      await done(sampler)
      return NdArray.concat(made)
    },
    release: () => sampler.release(),
  }
}

const text = clipTextEncoder('tokenizer', ['CLIPTextModelWithProjection'])
export const diffusionPriorParts = { prior: network(['PriorTransformer']), scheduler: scheduler(), text_encoder: text }
export const codePriorParts = { prior: network(['AutoregressivePrior']), codes: embeddingCodes('prior'), text_encoder: text }
export const codePriorClass = 'AutoregressivePriorPipeline'

/** The prior of a folder or a name on the hub, with its own text encoder. @throws ArgumentError for another class */
export async function openEmbeddingPrior(name: string, load: LoadOptions, opened: Done): Promise<EmbeddingPrior> {
  const options = { ...load, prior: undefined, vae: undefined }
  const source = await openSource(name, options)
  const withText = (prior: EmbeddingPrior, encoder: WorkingTextEncoder): EmbeddingPrior => ({
    ...prior,
    async release() {
      await prior.release()
      await encoder.release()
    },
  })
  if (source.className === codePriorClass) {
    const parts = await openParts(source, codePriorParts, options)
    const encoder = textEncoder(parts.text_encoder, opened.compile)
    return withText(codePrior(parts.prior, parts.codes(parts.prior.config), encoder, opened), encoder)
  }
  if (!/^KandinskyV22Prior(Emb2Emb)?Pipeline$/.test(source.className))
    throw new ArgumentError(
      `prior: ${source.place} is a ${source.className}; expected KandinskyV22PriorPipeline or ${codePriorClass}`,
    )
  const parts = await openParts(source, diffusionPriorParts, options)
  const encoder = textEncoder(parts.text_encoder, opened.compile)
  return withText(diffusionPrior(parts.prior, parts.scheduler, encoder, opened), encoder)
}
