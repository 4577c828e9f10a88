import { ArgumentError } from '../../core/errors.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { network, optional, scheduler } from '../open/parts.ts'
import { type LoadOptions, type Page, page } from '../page.ts'
import { clipImageEncoder, imageEncoder } from '../parts/image-encoder.ts'
import { generatorsOf, ofStage } from '../sampling/run.ts'
import { samplerIn } from '../sampling/schedulers.ts'
import { checkEdit, editOf } from './edit.ts'
import { diffusionPrior, openEmbeddingPrior } from './embedding-prior.ts'
import { latentDecoderParts, openLatentDecoder } from './latent-decoder.ts'
import { type LatentSettings, latentOptions } from './options.ts'
import { encodePrompts } from './texts.ts'

export const latentUnclipClass = 'LatentUnCLIPPipeline'

/** What an edit of a picture is. @throws ArgumentError for an edit without one */
function editIn({ image, ...settings }: LatentSettings) {
  if (image) return { ...settings, image }
  for (const [option, given] of Object.entries({
    vary: settings.vary,
    interpolate: settings.interpolate !== undefined,
    to: settings.to !== undefined,
    from: settings.fromText !== undefined,
  }))
    if (given) throw new ArgumentError(`${option}: it changes a picture: give image`)
  return undefined
}

/**
 * DALL·E 2's two networks in latents of an autoencoder: a prior draws the embedding of a picture for a prompt, and a decoder, which has it
 * in its time and as tokens before the prompt's, makes the picture (Ramesh et al. 2022). A given picture has an embedding of its own, and is
 * changed by it.
 */
export const latentUnclip: Page = page({
  classes: [latentUnclipClass],
  output: 'pictures',
  parts: {
    ...latentDecoderParts,
    image_encoder: clipImageEncoder('image_processor'),
    prior: optional(network(['PriorTransformer'])),
    prior_scheduler: optional(scheduler()),
  },
  options: latentOptions,
  loads: ['prior', 'vae', 'quantize', 'tiling'] as (keyof LoadOptions & string)[],
  async open({ image_encoder, prior: stored, prior_scheduler, ...parts }, opened) {
    const { load, source, compile, done } = opened
    const decoder = openLatentDecoder(parts, opened)
    const sees = imageEncoder(image_encoder, compile)
    const own = stored && prior_scheduler && diffusionPrior(stored, prior_scheduler, decoder.text, opened)
    const prior = load.prior === undefined ? own : await openEmbeddingPrior(load.prior, load, opened)
    if (prior && prior.width !== decoder.width)
      throw new ArgumentError(
        `${source.place}: its decoder takes embeddings of ${decoder.width} channels, and the prior draws some of ${prior.width}`,
      )
    return {
      ...{ decoder, sees, prior, done, place: source.place },
      async release() {
        for (const part of [prior, own, sees, decoder]) await part?.release()
      },
    }
  },
  plan({ decoder, prior, place }, settings) {
    const edit = editIn(settings)
    if (edit) checkEdit(edit)
    else if (settings.prompt === undefined) throw new ArgumentError('prompt: missing; or give image, a picture to vary')
    else if (!prior)
      throw new ArgumentError(
        `${place} has no prior, which makes embeddings of prompts: name one with prior (--prior), or give image`,
      )
    const { steps, guidance, interpolate, to, fromText, vary, amount, eta } = settings
    return {
      className: latentUnclipClass,
      settings: {
        Steps: steps,
        ...samplerIn(decoder.schedulerOf(settings.scheduler), settings.scheduler),
        'CFG scale': guidance,
        Size: `${decoder.side}x${decoder.side}`,
        ...(edit ? {} : prior?.inWords(settings)),
        Edit: interpolate ? 'interpolated' : to !== undefined ? `"${fromText ?? ''}" to "${to}"` : vary ? 'varied' : undefined,
        Amount: to === undefined ? undefined : amount,
        Eta: eta === 0 ? undefined : eta,
        'Text dropped': settings.dropText ? 'true' : undefined,
      },
    }
  },
  async *generate({ decoder, sees, prior, done }, { signal, ...settings }) {
    const { prompt = '', dropText, seed, num, guidance, steps, eta } = settings
    const generators = generatorsOf(seed, num)
    const told = dropText ? '' : prompt
    const prompts = await encodePrompts(decoder.text, guidance > 1 ? ['', told] : [told], signal)
    const run = { steps, guidance, prompts, generators, signal }
    const scheduler = decoder.schedulerOf(settings.scheduler)
    const given = editIn(settings)
    if (!given) {
      const embeds: NdArray<'f32'> = yield* ofStage(
        0,
        (prior as NonNullable<typeof prior>).sample(prompt, settings, generators, signal),
      )
      await done(decoder.text)
      return { type: 'pictures', pictures: yield* decoder.decode({ ...run, embeds, stage: 1, scheduler }) }
    }
    const edit = await editOf(given, { decoder, sees, done, signal })
    await done(decoder.text)
    await done(sees)
    const start = edit.starts && { states: yield* edit.starts(run), eta }
    const decoded = { ...run, embeds: edit.embeds, start, stage: start ? 1 : 0, scheduler }
    return { type: 'pictures', pictures: yield* decoder.decode(decoded) }
  },
})
