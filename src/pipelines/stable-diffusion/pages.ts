import { type Page, page } from '../page.ts'
import { componentsOf, stableDiffusionParts } from './components.ts'
import { families, type PictureTask, sharedTasks } from './families.ts'
import { generate } from './generate.ts'
import { type LoadOptions, openModel, type StableDiffusionModel } from './model.ts'
import { optionsOf, type Settings } from './options.ts'
import { planOf } from './plan.ts'

const opening = ['tokenizer', 'vae', 'prediction', 'tiling', 'quantize', 'cache', 'loras', 'inversions'] as const
const conditioning = ['controlnets', 'ipAdapters', 'imageEncoder', 'adapters'] as const

/** One page for the classes that do these tasks: one checkpoint does text to image, image to image and in-painting. */
const stableDiffusion = (xl: boolean, tasks: readonly PictureTask[]): Page =>
  page<typeof stableDiffusionParts, ReturnType<typeof optionsOf>, StableDiffusionModel, LoadOptions>({
    classes: Object.keys(families).filter((name) => families[name]?.xl === xl && tasks.includes(families[name].task)),
    output: 'pictures',
    parts: stableDiffusionParts,
    options: optionsOf(xl, tasks),
    loads: [...opening, ...(tasks === sharedTasks ? conditioning : [])],
    open: (parts, opened) => openModel(componentsOf(parts, opened.source), opened),
    plan(model, settings) {
      const { className, scheduler, steps, guidance, strength, task } = planOf(model, settings as Settings)
      const given = task === 'image-to-image' || task === 'inpaint' || task === 'depth'
      return {
        className,
        settings: {
          Steps: steps,
          Sampler: scheduler.className,
          'CFG scale': guidance,
          'Denoising strength': given ? strength : undefined,
        },
      }
    },
    generate: (model, settings) => generate(model, settings as Settings),
  })

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
