import { ArgumentError } from '../../core/errors.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { Generator } from '../../runtime/random.ts'
import { openSource } from '../open/open.ts'
import { network, openParts, type PartsOf, scheduler } from '../open/parts.ts'
import { openedOf } from '../opened.ts'
import type { LoadOptions, Opened, Progress, Releasable } from '../page.ts'
import { clipImageEncoder, imageEncoder } from '../parts/image-encoder.ts'
import { clipTextEncoder, textEncoder } from '../parts/text-encoder.ts'
import { startOf } from '../sampling/schedule.ts'
import { workingPrior } from '../unclip/prior.ts'
import { encodePrompts } from '../unclip/texts.ts'
import type { PriorSettings } from './options.ts'

/** diffusers' classes of the prior's folder, by how it starts: from noise, or from a picture's embedding. */
export const priorClasses = ['KandinskyV22PriorPipeline', 'KandinskyV22PriorEmb2EmbPipeline'] as const

/** What the prior's folder has. */
export const priorParts = {
  prior: network(['PriorTransformer']),
  text_encoder: clipTextEncoder('tokenizer', ['CLIPTextModelWithProjection']),
  image_encoder: clipImageEncoder('image_processor'),
  scheduler: scheduler(),
}

/** Embeddings of pictures that a prior drew, and what each is guided from: f32 [num, D]. */
export interface Embeddings {
  readonly embeds: NdArray<'f32'>
  readonly negative: NdArray<'f32'>
}

/** Kandinsky's prior at work. */
export interface KandinskyPrior extends Releasable {
  /** Width of its embeddings. */
  readonly width: number
  /** How far it changes a given picture's embedding; undefined where it starts from noise. @throws ArgumentError */
  strengthOf(settings: Pick<PriorSettings, 'priorStrength' | 'image'>): number | undefined
  sample(
    settings: PriorSettings,
    generators: readonly Generator[],
    signal?: AbortSignal,
  ): AsyncGenerator<Progress, Embeddings, void>
}

export function kandinskyPrior(
  { prior, text_encoder, image_encoder, scheduler }: PartsOf<typeof priorParts>,
  { compile, done }: Pick<Opened, 'compile' | 'done'>,
  className: string,
): KandinskyPrior {
  const working = workingPrior(prior, scheduler, compile)
  const text = textEncoder(text_encoder, compile)
  const sees = imageEncoder(image_encoder, compile)
  const strengthOf: KandinskyPrior['strengthOf'] = ({ priorStrength, image }) => {
    const strength = priorStrength ?? (className === priorClasses[1] ? 0.3 : undefined)
    if (strength === undefined || image) return strength
    throw new ArgumentError("priorStrength: the prior starts from a picture's embedding here: give image")
  }
  return {
    width: prior.config.embedding_dim,
    strengthOf,
    async *sample(settings, generators, signal) {
      const { prompt, negative, priorSteps: steps, priorGuidance: guidance, image } = settings
      const strength = strengthOf(settings)
      const [empty, own, other] = await encodePrompts(text, ['', prompt, ...(negative === undefined ? [] : [negative])], signal)
      await done(text)
      // With a negative prompt both are drawn side by side, each guided from the negative one, as in diffusers.
      const texts = other ? [own, other] : [own]
      const from = other ? [other, other] : [empty]
      const seen = strength === undefined ? undefined : await sees.embed(image as NdArray)
      const drawn = yield* working.sample({
        ...{ texts: texts as never, from: guidance > 1 ? (from as never) : undefined, guidance, steps, generators, signal },
        ...(seen && {
          start: {
            steps: startOf({ steps, strength: strength as number }),
            embeds: seen.expand([texts.length, ...seen.shape.slice(1)]),
          },
        }),
      })
      await done(working)
      const [num, K, D] = drawn.shape as [number, number, number]
      const part = (k: number) => drawn.slice(1, k, k + 1).reshape([num, D])
      const nothing = K === 1 ? await sees.embedNothing() : undefined
      await done(sees)
      return { embeds: part(0), negative: nothing ? nothing.expand([num, D]) : part(1) }
    },
    async release() {
      for (const one of [text, working, sees]) await one.release()
    },
  }
}

/** The prior of a folder or a name on the hub. @throws ArgumentError for another class, and what opening throws */
export async function openPrior(name: string, load: LoadOptions): Promise<KandinskyPrior> {
  const options = { ...load, prior: undefined, vae: undefined }
  const source = await openSource(name, options)
  if (!priorClasses.includes(source.className as never))
    throw new ArgumentError(`prior: ${source.place} is a ${source.className}; expected ${priorClasses.join(' or ')}`)
  return kandinskyPrior(await openParts(source, priorParts, options), openedOf(source, options), source.className)
}
