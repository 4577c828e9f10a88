import { z } from 'zod'
import { numOption, seedOption } from '../options.ts'
import { type Page, page } from '../page.ts'
import { textEncoder } from '../parts/text-encoder.ts'
import { generatorsOf } from '../sampling/run.ts'
import { codePrior, codePriorClass, codePriorParts } from './embedding-prior.ts'
import { codePriorOptions } from './options.ts'

const options = z.object({
  prompt: z.string().meta({ description: 'what the picture shows' }),
  ...codePriorOptions,
  seed: seedOption,
  num: numOption,
})

/** Embeddings of pictures from a prompt by DALL·E 2's autoregressive prior (Ramesh et al. 2022, section 2.2): [num, D]. */
export const codePriorPage: Page = page({
  classes: [codePriorClass],
  output: 'pictures',
  parts: codePriorParts,
  options,
  open({ prior, codes, text_encoder }, opened) {
    const text = textEncoder(text_encoder, opened.compile)
    const working = codePrior(prior, codes(prior.config), text, opened)
    return {
      ...working,
      async release() {
        await working.release()
        await text.release()
      },
    }
  },
  plan: (prior, settings) => ({
    className: codePriorClass,
    settings: prior.inWords({ priorSteps: 0, priorGuidance: 1, priorCandidates: 1, ...settings }),
  }),
  async *generate(prior, { prompt, seed, num, signal, priorTemperature }) {
    const settings = { priorSteps: 0, priorGuidance: 1, priorCandidates: 1, priorTemperature }
    const embeds = yield* prior.sample(prompt, settings, generatorsOf(seed, num), signal)
    return { type: 'latents', latents: embeds, named: { image_embeds: embeds } }
  },
})
