import { NdArray } from '../../runtime/ndarray.ts'
import { type Page, page } from '../page.ts'
import { generatorsOf } from '../sampling/run.ts'
import { priorPageOptions } from './options.ts'
import { kandinskyPrior, priorClasses, priorParts } from './prior.ts'

/**
 * Embeddings of pictures from a prompt: diffusers' `KandinskyV22PriorPipeline` and, from a picture's embedding on,
 * `KandinskyV22PriorEmb2EmbPipeline`. Its result is [num, 2, D]: the embeddings, and what a decoder guides them from.
 */
export const kandinskyPriorPage: Page = page({
  classes: priorClasses,
  output: 'pictures',
  parts: priorParts,
  options: priorPageOptions,
  open: (parts, opened) => ({ className: opened.source.className, ...kandinskyPrior(parts, opened, opened.source.className) }),
  plan(prior, settings) {
    return {
      className: prior.className,
      settings: {
        'Prior steps': settings.priorSteps,
        'Prior CFG scale': settings.priorGuidance,
        'Prior strength': prior.strengthOf(settings),
      },
    }
  },
  async *generate(prior, { signal, ...settings }) {
    prior.strengthOf(settings)
    const { embeds, negative } = yield* prior.sample(settings, generatorsOf(settings.seed, settings.num), signal)
    const [num, D] = embeds.shape as [number, number]
    const latents = NdArray.concat([embeds, negative], 1).reshape([num, 2, D])
    return { type: 'latents', latents, named: { image_embeds: embeds, negative_image_embeds: negative } }
  },
})
