import { ArgumentError } from '../../core/errors.ts'
import type { Scheduler, SchedulerConfig } from '../../diffusion/index.ts'
import { levelsOf, type Size, sizeOfPicture, wholeLatents } from '../images/fit.ts'
import { schedulerFor } from '../sampling/schedulers.ts'
import { classFor, type Defaults, families, type PictureTask, type PipelineClass } from './families.ts'
import type { StableDiffusionModel } from './model.ts'
import { defaultSettings, idleOptions, type Settings } from './options.ts'

/** What a run takes where the caller left it to the pipeline. */
export interface SamplingPlan extends Required<Defaults>, Size {
  readonly className: string
  readonly task: PictureTask
  readonly scheduler: Scheduler
}

/** What a run of these settings is. @throws ArgumentError for a size that is no whole number of latents */
export function planOf(model: StableDiffusionModel, settings: Settings): SamplingPlan {
  const { components, factor, controlnets } = model
  const task = taskOf(model, settings)
  const className = classFor(components.className, task, controlnets.length > 0)
  const { defaults } = families[className] as PipelineClass
  const own = sizeOfTask(model, settings, task) ?? trainedSize(model)
  const { height = own.height, width = own.width } = settings
  for (const [side, pixels] of Object.entries({ height, width })) {
    if (pixels % factor !== 0) throw new ArgumentError(`${side}: ${pixels} is no multiple of ${factor}, the pixels of one latent`)
  }
  const scheduler = schedulerFor(className, components.scheduler, settings.scheduler as string | SchedulerConfig | undefined)
  refuseIdle(model, settings, { task, className, scheduler })
  return {
    className,
    task,
    scheduler,
    height,
    width,
    steps: settings.steps ?? defaults.steps,
    guidance: settings.guidance ?? defaults.guidance,
    strength: settings.strength ?? defaults.strength ?? 1,
    imageGuidance: settings.imageGuidance ?? defaults.imageGuidance ?? 1,
    noiseLevel: settings.noiseLevel ?? defaults.noiseLevel ?? 0,
    controlScale: defaults.controlScale ?? 1,
  }
}

/** @throws ArgumentError for options that would do nothing, which says when they do something */
function refuseIdle(
  model: StableDiffusionModel,
  settings: Settings,
  { task, className, scheduler }: Pick<SamplingPlan, 'task' | 'className' | 'scheduler'>,
): void {
  const { components, controlnets, xl } = model
  const idle = idleOptions(settings, task, xl)
  if (settings.guess && controlnets.length === 0) idle.push('guess (a ControlNet)')
  if (settings.eta !== 0 && !scheduler.takes.includes('eta')) idle.push('eta (the scheduler ddim or tcd)')
  if (components.options.requires_aesthetics_score !== true)
    for (const name of ['aesthetic', 'negativeAesthetic'] as const)
      if (settings[name] !== defaultSettings[name]) idle.push(`${name} (XL's refiner)`)
  if (settings.switchAt !== defaultSettings.switchAt && !model.refiner) idle.push('switchAt (a refiner)')
  if (idle.length === 0) return
  throw new ArgumentError(`${className} of ${components.place} has no use for ${idle.join(', ')}: leave it out`)
}

/** What is to be done, by the model's class and by what is given. */
function taskOf({ components }: StableDiffusionModel, { image, mask, latents }: Settings): PictureTask {
  const { task } = families[components.className] as PipelineClass
  if (task === 'pix2pix' || task === 'upscale' || task === 'depth' || task === 'variation') return task
  if (mask) return 'inpaint'
  if (image || latents) return 'image-to-image'
  if (task === 'text-to-image') return task
  // An in-painting network sees a picture in all it does; others' classes only say what they are mostly used for.
  const { in_channels: channels, out_channels: own } = components.unet.config
  if (channels === own && task === 'inpaint') return 'text-to-image'
  throw new ArgumentError(
    `${components.place} is a ${components.className}: give ${task === 'inpaint' ? 'image and mask' : 'image'}`,
  )
}

/** The size of a run where none is asked for: that of the given picture, down to whole latents, where diffusers takes it. */
function sizeOfTask({ factor, xl }: StableDiffusionModel, settings: Settings, task: PictureTask): Size | undefined {
  const { image, latents, controls: given, adapters } = settings
  const [, , h, w] = latents?.shape ?? []
  if ((task === 'image-to-image' || (task === 'inpaint' && !image)) && h && w) return { height: h * factor, width: w * factor }
  if (task === 'inpaint' && !given) return undefined
  if (task === 'pix2pix' && xl) return undefined
  if (task === 'variation') return undefined
  const source = task === 'text-to-image' ? (given ?? adapters)?.[0]?.picture : image
  return source && wholeLatents(sizeOfPicture(levelsOf(source)), factor)
}

/** The pictures' size that the U-Net was trained on. */
export function trainedSize({ components: { unet, place, className }, factor }: StableDiffusionModel): Size {
  const [height, width] = [unet.config.sample_size ?? []].flat()
  if (height === undefined) throw new ArgumentError(`${place}: the U-Net's config has no sample_size: give height and width`)
  // The first checkpoints had 32 there, whatever they were trained on, and diffusers reads it as 64.
  const early = !className.includes('XL') && unet.version !== undefined && /^0\.[0-8]\./.test(unet.version)
  const side = (latents: number) => (early && height < 64 ? 64 : latents) * factor
  return { height: side(height), width: side(width ?? height) }
}
