import { type Page, page } from '../page.ts'
import { componentsOf, stableDiffusionParts } from './components.ts'
import { families, type PictureTask, sharedTasks } from './families.ts'
import { generate } from './generate.ts'
import { type LoadOptions, openModel, type StableDiffusionModel } from './model.ts'
import { defaultSettings, optionsOf, type Settings } from './options.ts'
import { inWords } from './words.ts'

const opening = ['tokenizer', 'vae', 'prediction', 'tiling', 'quantize', 'cache', 'loras', 'inversions', 'loraDir'] as const
const conditioning = ['controlnets', 'ipAdapters', 'imageEncoder', 'adapters', 'hiresUpscaler'] as const

/** One page for the classes that do these tasks: one checkpoint does text to image, image to image and in-painting. */
const stableDiffusion = (xl: boolean, tasks: readonly PictureTask[]): Page =>
  page<typeof stableDiffusionParts, ReturnType<typeof optionsOf>, StableDiffusionModel, LoadOptions>({
    classes: Object.keys(families).filter((name) => families[name]?.xl === xl && tasks.includes(families[name].task)),
    output: 'pictures',
    parts: stableDiffusionParts,
    options: optionsOf(xl, tasks),
    loads: [
      ...opening,
      ...(tasks === sharedTasks ? conditioning : []),
      ...(tasks === sharedTasks && xl ? (['refiner'] as const) : []),
    ],
    open: (parts, opened) => openModel(componentsOf(parts, opened.source), opened),
    plan: (model, settings) => inWords(model, whole(settings)),
    generate: (model, settings) => generate(model, whole(settings)),
  })

/** With the defaults of options that this page does not have. */
const whole = (settings: object): Settings => ({ ...defaultSettings, ...settings })

/** diffusers' pipelines of Stable Diffusion 1, 2 and XL. */
export const stableDiffusionPages: readonly Page[] = [
  stableDiffusion(false, sharedTasks),
  stableDiffusion(true, sharedTasks),
  stableDiffusion(false, ['pix2pix']),
  stableDiffusion(true, ['pix2pix']),
  stableDiffusion(false, ['upscale']),
  stableDiffusion(false, ['depth']),
  stableDiffusion(false, ['variation']),
]
