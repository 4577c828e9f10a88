import { network, scheduler } from '../open/parts.ts'
import { type Page, page } from '../page.ts'
import { clipImageEncoder, imageEncoder } from '../parts/image-encoder.ts'
import { generatorsOf, ofStage } from '../sampling/run.ts'
import { decoderParts, openDecoder } from './decoder.ts'
import { checkEdit, editOf } from './edit.ts'
import { textOptions, variationOptions } from './options.ts'
import { likeliest, workingPrior } from './prior.ts'
import { type EncodedPrompt, encodePrompts } from './texts.ts'

/** What both take to a picture's metadata. */
const inWords = (side: number, { steps, guidance, superResSteps }: Pick<RunWords, 'steps' | 'guidance' | 'superResSteps'>) => ({
  Steps: steps,
  'CFG scale': guidance,
  'Super-resolution steps': superResSteps,
  Size: `${side}x${side}`,
})
type RunWords = import('zod').output<typeof textOptions>

/**
 * Pictures from a prompt by way of their embeddings (Ramesh et al. 2022): Karlo, diffusers' `UnCLIPPipeline`. A prior makes an embedding of
 * the prompt, a decoder a small picture of it, and two networks a large one.
 */
export const unclip: Page = page({
  classes: ['UnCLIPPipeline'],
  output: 'pictures',
  parts: { ...decoderParts, prior: network(['PriorTransformer']), prior_scheduler: scheduler() },
  options: textOptions,
  loads: ['quantize'],
  open({ prior, prior_scheduler, ...parts }, opened) {
    const decoder = openDecoder(parts, opened)
    const first = workingPrior(prior, prior_scheduler, opened.compile)
    return {
      ...{ decoder, prior: first, done: opened.done },
      async release() {
        await first.release()
        await decoder.release()
      },
    }
  },
  plan: ({ decoder }, { priorSteps, priorGuidance, priorCandidates, ...settings }) => ({
    className: 'UnCLIPPipeline',
    settings: {
      ...inWords(decoder.side, settings),
      'Prior steps': priorSteps,
      'Prior CFG scale': priorGuidance,
      ...(priorCandidates > 1 && { 'Prior candidates': priorCandidates }),
    },
  }),
  async *generate(
    { decoder, prior, done },
    { prompt, priorSteps, priorGuidance, priorCandidates, seed, num, signal, ...settings },
  ) {
    // Either guidance makes both parts run with the empty prompt, as in diffusers.
    const guided = priorGuidance > 1 || settings.guidance > 1
    const prompts = await encodePrompts(decoder.text, guided ? ['', prompt] : [prompt], signal)
    await done(decoder.text)
    const generators = generatorsOf(seed, num)
    const own = prompts.at(-1) as EncodedPrompt
    const times = <T>(value: T): T[] => Array<T>(priorCandidates).fill(value)
    const drawn = yield* ofStage(
      0,
      prior.sample({
        ...{ texts: times(own), from: guided ? times(prompts[0] as EncodedPrompt) : undefined, generators, signal },
        ...{ guidance: priorGuidance, steps: priorSteps },
      }),
    )
    await done(prior)
    const decoded = { ...settings, prompts, embeds: likeliest(drawn, own.textEmbeds), stage: 1, generators, signal }
    return { type: 'pictures', pictures: yield* decoder.decode(decoded) }
  },
})

/** Other pictures of what a picture shows, from its embedding: diffusers' `UnCLIPImageVariationPipeline`. */
export const unclipVariation: Page = page({
  classes: ['UnCLIPImageVariationPipeline'],
  output: 'pictures',
  parts: { ...decoderParts, image_encoder: clipImageEncoder() },
  options: variationOptions,
  loads: ['quantize'],
  open({ image_encoder, ...parts }, opened) {
    const decoder = openDecoder(parts, opened)
    const sees = imageEncoder(image_encoder, opened.compile)
    return {
      ...{ decoder, sees, done: opened.done },
      async release() {
        await sees.release()
        await decoder.release()
      },
    }
  },
  plan({ decoder }, settings) {
    checkEdit(settings)
    const { to, fromText, amount, eta, interpolate, vary } = settings
    return {
      className: 'UnCLIPImageVariationPipeline',
      settings: {
        ...inWords(decoder.side, settings),
        Edit: interpolate ? 'interpolated' : to !== undefined ? `"${fromText ?? ''}" to "${to}"` : vary ? 'varied' : undefined,
        Amount: to === undefined ? undefined : amount,
        Eta: eta === 0 ? undefined : eta,
      },
    }
  },
  async *generate({ decoder, sees, done }, { signal, ...settings }) {
    checkEdit(settings)
    const { seed, num, guidance } = settings
    const prompts = await encodePrompts(decoder.text, guidance > 1 ? ['', ''] : [''], signal)
    const generators = generatorsOf(seed, num)
    const edit = await editOf(settings, { decoder, sees, done, signal })
    await done(decoder.text)
    await done(sees)
    const { steps, superResSteps } = settings
    const run = { steps, guidance, superResSteps, prompts, generators, signal }
    const start = edit.starts && { states: yield* edit.starts(run), eta: settings.eta }
    const pictures = yield* decoder.decode({ ...run, embeds: edit.embeds, start, stage: start ? 1 : 0 })
    return { type: 'pictures', pictures }
  },
})
