import { ArgumentError } from '../../core/errors.ts'
import type { Scheduler, SchedulerConfig } from '../../diffusion/index.ts'
import { hiresSize } from '../../images/canvas.ts'
import { planPrompt } from '../../text/index.ts'
import { levelsOf, type Size, sizeOfPicture, wholeLatents } from '../images/fit.ts'
import { type Grid, startOf } from '../sampling/schedule.ts'
import { schedulerFor } from '../sampling/schedulers.ts'
import { classFor, type Defaults, families, isShared, type PictureTask, type PipelineClass } from './families.ts'
import { perturbedLayers } from './feature-guidance.ts'
import type { StableDiffusionModel } from './model.ts'
import { defaultSettings, idleOptions, type Settings } from './options.ts'

/** What a run takes where the caller left it to the pipeline. */
export interface SamplingPlan extends Required<Defaults>, Size {
  readonly className: string
  readonly task: PictureTask
  readonly scheduler: Scheduler
  /** The steps, or the run's own timesteps or noise levels. */
  readonly grid: Grid
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
  const grid = gridOf(settings, settings.steps ?? defaults.steps)
  // A scheduler that does not take timesteps or levels of its own says so before anything runs.
  if (grid.steps === undefined) scheduler.timesteps(grid)
  const plan = {
    className,
    task,
    scheduler,
    height,
    width,
    grid,
    steps: stepsIn(grid),
    guidance: settings.guidance ?? defaults.guidance,
    strength: settings.strength ?? defaults.strength ?? 1,
    imageGuidance: settings.imageGuidance ?? defaults.imageGuidance ?? 1,
    noiseLevel: settings.noiseLevel ?? defaults.noiseLevel ?? 0,
    controlScale: defaults.controlScale ?? 1,
  }
  refuseTogether(model, settings, plan)
  return plan
}

/** @throws ArgumentError for more than one of steps, timesteps and sigmas */
function gridOf({ steps, timesteps, sigmas }: Settings, otherwise: number): Grid {
  const given = Object.entries({ steps, timesteps, sigmas }).flatMap(([name, value]) => (value === undefined ? [] : [name]))
  if (given.length > 1) throw new ArgumentError(`${given.join(' and ')}: give one of them`)
  return timesteps ? { timesteps } : sigmas ? { sigmas } : { steps: otherwise }
}

/** Sampling steps of a grid; a final level of 0 is no step. */
const stepsIn = ({ steps, timesteps, sigmas = [] }: Grid): number =>
  steps ?? timesteps?.length ?? sigmas.length - (sigmas.at(-1) === 0 ? 1 : 0)

/** What is well by itself, and not beside other settings. @throws ArgumentError */
function refuseTogether({ components, refiner, factor }: StableDiffusionModel, settings: Settings, plan: SamplingPlan): void {
  const { task, className, guidance, strength, scheduler } = plan
  const refuse = (name: string, why: string) => {
    throw new ArgumentError(`${name}: ${why}`)
  }
  if (settings.promptEmbeds && settings.prompt !== '') refuse('promptEmbeds', 'they stand for the prompt: leave the prompt empty')
  if (settings.promptEmbeds && refiner) refuse('promptEmbeds', 'a refiner has its own text encoder: give the prompt')
  if (settings.promptEmbeds && settings.wildcards) refuse('wildcards', 'there is no prompt that they could be in')
  if (!settings.promptEmbeds && (settings.negativePromptEmbeds || settings.pooledPromptEmbeds))
    refuse('promptEmbeds', 'the other embeddings are given, and these are not')
  if (settings.hires !== undefined) {
    if (refiner) refuse('hires', 'with a refiner there is no second pass: leave one of them out')
    if (settings.denoisingEnd !== undefined) refuse('hires', 'the first pass must end: leave denoisingEnd out')
    hiresSize(plan, { scale: settings.hires }, factor)
    startOf({ steps: settings.hiresSteps ?? plan.steps, strength: settings.hiresStrength })
  }
  if (settings.pagScale > 0) {
    if (settings.guess) refuse('pagScale', 'not with guess, where ControlNets see some of the entries only')
    if (settings.imagePrompts && guidance <= 1) refuse('pagScale', 'with IP-Adapters only where guidance is above 1')
    if (components.unet.config.time_cond_proj_dim !== null) refuse('pagScale', `${components.place} has its guidance within`)
    for (const { components: own } of refiner ? [{ components }, refiner] : [{ components }])
      perturbedLayers(own.unet.weights.keys(), settings.pagLayers, own.place)
  }
  const { branches } = settings.promptEmbeds ? { branches: [] } : planPrompt(settings.prompt, { syntax: settings.syntax })
  if (branches.length > 1) {
    if (!isShared(task)) refuse('prompt', `${className} does not take prompts that AND joins`)
    if (settings.pagScale > 0) refuse('pagScale', 'not with prompts that AND joins')
    if (settings.guess) refuse('guess', 'not with prompts that AND joins')
  }
  if (!settings.regions)
    for (const name of ['regionMode', 'regionBase'] as const)
      if (settings[name] !== defaultSettings[name]) refuse(name, 'there are no regions that it could be of')
  if (settings.regions) {
    if (settings.promptEmbeds) refuse('regions', 'they stand beside a prompt: give the prompt, not embeddings')
    if (branches.length > 1) refuse('regions', 'not with prompts that AND joins')
    if (settings.pagScale > 0) refuse('pagScale', 'not with regions')
    if (settings.guess) refuse('guess', 'not with regions')
    const { mid_block_type: mid, down_block_types: blocks } = components.unet.config
    if (settings.regionMode === 'attention' && [mid, ...blocks].some((type) => type?.includes('SimpleCross')))
      refuse('regionMode', `${components.place} has attentions that see pixels and text together: take composition`)
  }
  if (settings.fill !== 'original' && strength === 1) refuse('fill', 'at strength 1 nothing of it is left: give less, as 0.75')
  if (className === 'LatentConsistencyModelImg2ImgPipeline' && plan.grid.steps === undefined)
    refuse('timesteps', `${scheduler.className} chooses its own by the strength here`)
}

/** @throws ArgumentError for options that would do nothing, which says when they do something */
function refuseIdle(
  model: StableDiffusionModel,
  settings: Settings,
  { task, className, scheduler }: Pick<SamplingPlan, 'task' | 'className' | 'scheduler'>,
): void {
  const { components, controlnets, xl } = model
  const idle = idleOptions(settings, task, xl)
  if (settings.pagScale === 0)
    for (const name of ['pagAdaptive', 'pagLayers'] as const)
      if (JSON.stringify(settings[name]) !== JSON.stringify(defaultSettings[name])) idle.push(`${name} (pagScale)`)
  if (settings.hires === undefined)
    for (const name of ['hiresSteps', 'hiresStrength'] as const)
      if (settings[name] !== defaultSettings[name]) idle.push(`${name} (hires)`)
  if (settings.guess && controlnets.length === 0) idle.push('guess (a ControlNet)')
  if (settings.eta !== 0 && !scheduler.accepts.includes('eta')) idle.push('eta (the scheduler ddim or tcd)')
  if (components.options.requires_aesthetics_score !== true)
    for (const name of ['aesthetic', 'negativeAesthetic'] as const)
      if (settings[name] !== defaultSettings[name]) idle.push(`${name} (XL's refiner)`)
  if (settings.switchAt !== defaultSettings.switchAt && !model.refiner) idle.push('switchAt (a refiner)')
  if (idle.length === 0) return
  throw new ArgumentError(`${className} of ${components.place} has no use for ${idle.join(', ')}: leave it out`)
}

/** What is to be done, by the model's class and by what is given. */
function taskOf({ components }: StableDiffusionModel, { image, mask, latents, strength, denoisingStart }: Settings): PictureTask {
  const { task } = families[components.className] as PipelineClass
  if (task === 'pix2pix' || task === 'upscale' || task === 'depth' || task === 'variation') return task
  if (mask) return 'inpaint'
  // Latents alone are noise; with how far they may change, a picture's.
  const noise = task === 'text-to-image' && strength === undefined && denoisingStart === undefined
  if (image || (latents && !noise)) return 'image-to-image'
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
  if (task === 'text-to-image' && h && w) return { height: h * factor, width: w * factor }
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
