import { type Page, type Plan, page } from '../page.ts'
import { componentsOf, stableDiffusionParts } from './components.ts'
import { families, type PictureTask, sharedTasks } from './families.ts'
import { generate } from './generate.ts'
import { type LoadOptions, openModel, type StableDiffusionModel } from './model.ts'
import { defaultSettings, optionsOf, type Settings } from './options.ts'
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

/** A run in the words of a picture's metadata; what changes nothing is left out. */
function inWords(model: StableDiffusionModel, settings: Settings): Plan {
  const { className, scheduler, steps, guidance, strength, task, imageGuidance, noiseLevel } = planOf(model, settings)
  const given = task === 'image-to-image' || task === 'inpaint' || task === 'depth'
  const unless = <T>(value: T, plain: T): T | undefined => (value === plain ? undefined : value)
  const { clipSkip, rescale, eta, maskBlur, maskPadding, controls, prompt2, negative2, switchAt } = settings
  return {
    className,
    together: task === 'inpaint' || task === 'upscale',
    settings: {
      Steps: steps,
      Sampler: scheduler.className,
      'CFG scale': guidance,
      'Denoising strength': given ? strength : undefined,
      'Image CFG scale': task === 'pix2pix' ? imageGuidance : undefined,
      'Noise level': task === 'upscale' ? noiseLevel : undefined,
      'Clip skip': clipSkip === undefined ? undefined : clipSkip + 1,
      'CFG rescale': unless(rescale, 0),
      Eta: unless(eta, 0),
      'Mask blur': unless(maskBlur, 0),
      'Masked area padding': maskPadding,
      'Second prompt': prompt2,
      'Second negative prompt': negative2,
      'Control scales': controls?.map(({ scale = 1 }) => scale).join('; '),
      'Refiner switch at': model.refiner && switchAt,
    },
  }
}

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
