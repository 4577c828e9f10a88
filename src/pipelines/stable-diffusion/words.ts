import type { Region } from '../conditioning/regions.ts'
import type { Plan } from '../page.ts'
import { samplerIn } from '../sampling/schedulers.ts'
import { chosen } from './choices.ts'
import type { StableDiffusionModel } from './model.ts'
import { defaultSettings, type Settings } from './options.ts'
import { planOf } from './plan.ts'

/** A region's prompt and box; of a mask that there is one. */
const regionInWords = ({ prompt, box, weight }: Region) => ({
  prompt,
  ...(box ? { box } : { mask: true }),
  ...(weight !== 1 && { weight }),
})

/** A run in the words of a picture's metadata; what changes nothing is left out. */
export function inWords(model: StableDiffusionModel, settings: Settings): Plan {
  const { className, scheduler, steps, guidance, strength, task, imageGuidance, noiseLevel, height, width, controlScale } =
    planOf(model, settings)
  const given = task === 'image-to-image' || task === 'inpaint' || task === 'depth'
  const unless = <N extends keyof Settings>(name: N): Settings[N] | undefined =>
    JSON.stringify(settings[name]) === JSON.stringify(defaultSettings[name]) ? undefined : settings[name]
  const list = (values: readonly (number | string)[] | undefined) => values?.join(' ')
  const { clipSkip, maskPadding, controls, imagePrompts, adapters, prompt2, negative2, switchAt, hires } = settings
  const runs = chosen(settings)
  const shared = task === 'inpaint' || task === 'upscale'
  return {
    className,
    together: shared && runs.length === 1,
    ...(scheduler.warnings.length > 0 && { warnings: scheduler.warnings }),
    ...(settings.wildcards && {
      prompts: Array.from({ length: settings.num }, (_, k) => {
        const { prompt, negative } = (runs[k] ?? runs[0]) as Settings
        return { prompt, negative }
      }),
    }),
    settings: {
      Steps: steps,
      ...samplerIn(scheduler, settings.scheduler),
      'CFG scale': guidance,
      // That of the first pass, and of what is worked on of a larger picture.
      ...((hires !== undefined || task === 'inpaint') && { Size: `${width}x${height}` }),
      Timesteps: list(settings.timesteps),
      Sigmas: list(settings.sigmas),
      'Denoising strength': given ? strength : hires === undefined ? undefined : settings.hiresStrength,
      'Image CFG scale': task === 'pix2pix' ? imageGuidance : undefined,
      'Noise level': task === 'upscale' ? noiseLevel : undefined,
      'Clip skip': clipSkip === undefined ? undefined : clipSkip + 1,
      'Prompt syntax': unless('syntax'),
      'CFG rescale': unless('rescale'),
      Eta: unless('eta'),
      'PAG scale': unless('pagScale'),
      'PAG adaptive scale': unless('pagAdaptive'),
      'PAG layers': list(unless('pagLayers')),
      FreeU: list(settings.freeu),
      'Hires upscale': hires,
      'Hires steps': settings.hiresSteps,
      'Hires upscaler': hires === undefined ? undefined : model.hiresUpscaler.split(/[\\/]/).at(-1),
      'Resize mode': unless('resizeMode'),
      'Masked content': unless('fill'),
      'Pasted back': settings.paste ? 'true' : undefined,
      'Mask blur': unless('maskBlur'),
      'Masked area padding': maskPadding,
      'Second prompt': prompt2,
      'Second negative prompt': negative2,
      'Original size': list(settings.originalSize),
      Crop: list(unless('crop')),
      'Target size': list(settings.targetSize),
      'Negative original size': list(settings.negativeOriginalSize),
      'Negative crop': list(unless('negativeCrop')),
      'Negative target size': list(settings.negativeTargetSize),
      'Aesthetic score': unless('aesthetic'),
      'Negative aesthetic score': unless('negativeAesthetic'),
      'Control scales': list(controls?.map(({ scale = controlScale }) => scale)),
      'Control starts': controls?.some(({ start }) => start !== 0) ? list(controls.map(({ start }) => start)) : undefined,
      'Control ends': controls?.some(({ end }) => end !== 1) ? list(controls.map(({ end }) => end)) : undefined,
      Regions: settings.regions && JSON.stringify(settings.regions.map(regionInWords)),
      'Region mode': settings.regions && settings.regionMode,
      'Region base': settings.regions && settings.regionBase,
      'Guess mode': settings.guess ? 'true' : undefined,
      'IP-Adapter scales': list(imagePrompts?.map(({ scale }) => scale)),
      'T2I-Adapter scales': list(adapters?.map(({ scale }) => scale)),
      'Refiner switch at': model.refiner && switchAt,
    },
  }
}
