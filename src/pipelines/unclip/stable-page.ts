import { network, scheduler } from '../open/parts.ts'
import { type LoadOptions, type Page, page } from '../page.ts'
import { clipImageEncoder, imageEncoder } from '../parts/image-encoder.ts'
import { clipTextEncoder, textEncoder } from '../parts/text-encoder.ts'
import { generatorsOf, ofStage } from '../sampling/run.ts'
import { stableImageOptions, stableTextOptions } from './options.ts'
import { workingPrior } from './prior.ts'
import { openStable, stableParts } from './stable-model.ts'
import { encodePrompts } from './texts.ts'

const loads = ['vae', 'tiling', 'quantize'] as (keyof LoadOptions & string)[]

/** Stable Diffusion 2.1 on a picture's embedding that a prior makes of the prompt: diffusers' `StableUnCLIPPipeline`. */
export const stableUnclip: Page = page({
  classes: ['StableUnCLIPPipeline'],
  output: 'pictures',
  parts: {
    ...stableParts,
    prior: network(['PriorTransformer']),
    prior_scheduler: scheduler(),
    prior_text_encoder: clipTextEncoder('prior_tokenizer', ['CLIPTextModelWithProjection']),
  },
  options: stableTextOptions,
  loads,
  open({ prior, prior_scheduler, prior_text_encoder, ...parts }, opened) {
    const stable = openStable(parts, opened)
    const first = workingPrior(prior, prior_scheduler, opened.compile)
    const text = textEncoder(prior_text_encoder, opened.compile)
    return {
      ...{ stable, prior: first, text, done: opened.done },
      async release() {
        for (const part of [text, first, stable]) await part.release()
      },
    }
  },
  plan({ stable }, { priorSteps, priorGuidance, ...settings }) {
    const plan = stable.plan(settings)
    return { ...plan, settings: { ...plan.settings, 'Prior steps': priorSteps, 'Prior CFG scale': priorGuidance } }
  },
  async *generate({ stable, prior, text, done }, { priorSteps, priorGuidance, seed, num, signal, ...settings }) {
    stable.plan({ seed, num, ...settings })
    const guided = priorGuidance > 1
    const prompts = await encodePrompts(text, guided ? ['', settings.prompt] : [settings.prompt], signal)
    await done(text)
    const generators = generatorsOf(seed, num)
    const made = yield* ofStage(
      0,
      prior.sample({
        ...{ texts: prompts.slice(-1), from: guided ? prompts.slice(0, 1) : undefined, generators, signal },
        ...{ guidance: priorGuidance, steps: priorSteps, eta: settings.eta },
      }),
    )
    await done(prior)
    const own = made.reshape([num, -1])
    const embeds = generators.map((generator, k) => stable.noise.noised(own.slice(0, k, k + 1), settings.noiseLevel, generator))
    const run = { ...settings, seed, num, embeds, generators, signal }
    return { type: 'pictures', pictures: yield* ofStage(1, stable.pictures(run)) }
  },
})

/** Stable Diffusion 2.1 on the embedding of a given picture: diffusers' `StableUnCLIPImg2ImgPipeline`. */
export const stableUnclipImage: Page = page({
  classes: ['StableUnCLIPImg2ImgPipeline'],
  output: 'pictures',
  parts: { ...stableParts, image_encoder: clipImageEncoder() },
  options: stableImageOptions,
  loads,
  open({ image_encoder, ...parts }, opened) {
    const stable = openStable(parts, opened)
    const sees = imageEncoder(image_encoder, opened.compile)
    return {
      ...{ stable, sees, done: opened.done },
      async release() {
        await sees.release()
        await stable.release()
      },
    }
  },
  // The embedding's noise is drawn once, of the first picture's generator, as in diffusers.
  plan: ({ stable }, { image: _, ...settings }) => ({ ...stable.plan(settings), together: true }),
  async *generate({ stable, sees, done }, { image, signal, ...settings }) {
    stable.plan(settings)
    const { seed, num, noiseLevel } = settings
    const own = await sees.embed(image)
    await done(sees)
    const generators = generatorsOf(seed, num)
    const noised = stable.noise.noised(own, noiseLevel, generators[0] as (typeof generators)[number])
    const run = { ...settings, embeds: generators.map(() => noised), generators, signal }
    return { type: 'pictures', pictures: yield* stable.pictures(run) }
  },
})
