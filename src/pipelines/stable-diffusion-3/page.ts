import { type Page, page } from '../page.ts'
import { componentsOf, stableDiffusion3Parts } from './components.ts'
import { families } from './families.ts'
import { generate, inWords } from './generate.ts'
import { type LoadOptions, openModel, type StableDiffusion3Model } from './model.ts'
import { options, type Settings } from './options.ts'

/** Rectified flow by a transformer of two streams (Esser et al. 2024): Stable Diffusion 3 and 3.5. One checkpoint does every task. */
export const stableDiffusion3: Page = page<typeof stableDiffusion3Parts, typeof options, StableDiffusion3Model, LoadOptions>({
  classes: Object.keys(families),
  output: 'pictures',
  parts: stableDiffusion3Parts,
  options,
  loads: ['tokenizer', 'vae', 'tiling', 'quantize', 'loras', 'controlnets'],
  open: (parts, opened) => openModel(componentsOf(parts, opened.source), opened),
  plan: (model, settings) => inWords(model, settings as Settings),
  generate: (model, settings) => generate(model, settings as Settings),
})
