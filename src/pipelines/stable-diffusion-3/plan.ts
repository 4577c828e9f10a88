import { ArgumentError } from '../../core/errors.ts'
import {
  dynamicShift,
  type Scheduler,
  type SchedulerConfig,
  schedulerByName,
  schedulerFromConfig,
} from '../../diffusion/index.ts'
import type { Size } from '../images/fit.ts'
import { repaints } from './controlnet.ts'
import { classOf, type Family, families, type Task } from './families.ts'
import type { StableDiffusion3Model } from './model.ts'
import { plainSettings, type Settings } from './options.ts'

/** What a run takes where the caller left it to the pipeline. */
export interface SamplingPlan extends Size {
  readonly className: string
  readonly task: Task
  readonly scheduler: Scheduler
  readonly steps: number
  /** Steps left out at the start. */
  readonly start: number
  readonly strength: number
  /** Of a scheduler whose levels follow the size. */
  readonly mu: number | undefined
}

/** What a run of these settings is. @throws ArgumentError for settings that contradict each other or the model */
export function planOf(model: StableDiffusion3Model, settings: Settings): SamplingPlan {
  const { components, factor } = model
  const { config } = components.transformer
  const task = taskOf(model, settings)
  const [className, family] = classOf(task)
  const own = config.sample_size * factor
  const { height = own, width = own, steps = family.steps, strength = family.strength ?? 1 } = settings
  const least = factor * config.patch_size
  for (const [side, pixels] of Object.entries({ height, width })) {
    if (pixels % least !== 0)
      throw new ArgumentError(
        `${side}: ${pixels} is no multiple of ${least}, the pixels of a patch: ${pixels - (pixels % least)} is`,
      )
  }
  const scheduler = schedulerOf(components.scheduler, settings.scheduler as string | SchedulerConfig | undefined)
  const dynamic = scheduler.options.use_dynamic_shifting === true
  refuseIdle(model, settings, { task, className, dynamic })
  const tokens = (height / least) * (width / least)
  return {
    ...{ className, task, scheduler, height, width, steps, strength },
    start: startOf(steps, strength),
    mu: dynamic ? (settings.mu ?? shiftOf(scheduler, tokens)) : undefined,
  }
}

/** μ of so many tokens by the scheduler's config. */
function shiftOf({ options }: Scheduler, tokens: number): number {
  const { base_image_seq_len, max_image_seq_len, base_shift, max_shift } = options as Readonly<Record<string, number | undefined>>
  return dynamicShift(tokens, {
    baseTokens: base_image_seq_len ?? 256,
    maxTokens: max_image_seq_len ?? 4096,
    baseShift: base_shift ?? 0.5,
    maxShift: max_shift ?? 1.16,
  })
}

/** Steps left out before a picture's noise is as strong as asked: diffusers cuts here where earlier pipelines cut what is kept. */
function startOf(steps: number, strength: number): number {
  const start = Math.trunc(Math.max(steps - Math.min(steps * strength, steps), 0))
  if (start < steps) return start
  throw new ArgumentError(`strength: ${strength} of ${steps} steps leaves no step: give more of either`)
}

/** The model's own, one by name over its noise levels, or one by its config. @throws ArgumentError for one that samples no flow */
function schedulerOf(stored: SchedulerConfig, chosen: string | SchedulerConfig | undefined): Scheduler {
  const found = typeof chosen === 'string' ? schedulerByName(stored, chosen) : schedulerFromConfig(chosen ?? stored)
  const { use_flow_sigmas, prediction_type } = found.options
  if (/^FlowMatch/.test(found.className) || (use_flow_sigmas === true && prediction_type === 'flow_prediction')) return found
  throw new ArgumentError(
    `scheduler: ${found.className} samples no flow: choose Euler, Heun, LCM, DPM++ 2M, DEIS or UniPC by name, or a config with use_flow_sigmas and prediction_type flow_prediction`,
  )
}

/** What is to be done, by the model's class and by what is given. */
function taskOf(
  { components: { className, place }, controlnets }: StableDiffusion3Model,
  { image, mask, controls }: Settings,
): Task {
  if (controlnets.length > 0) {
    const masked = controlnets.some(repaints)
    if (!masked && (image || mask))
      throw new ArgumentError(
        `${image ? 'image' : 'mask'}: a ControlNet of Stable Diffusion 3 follows its control image alone: open the model without`,
      )
    if (masked && !mask) throw new ArgumentError('mask: this ControlNet repaints: give control (or image) and mask')
    return masked ? 'controlled inpaint' : 'controlled'
  }
  if (controls && controls.length > 0) throw new ArgumentError(`controls: ${place} was opened without a ControlNet`)
  if (mask) return 'inpaint'
  if (image) return 'image-to-image'
  const { task } = families[className] as Family
  if (task === 'text-to-image') return task
  const needed = task === 'inpaint' ? 'image and mask' : task === 'image-to-image' ? 'image' : 'a ControlNet (controlnets)'
  throw new ArgumentError(`${place} is a ${className}: give ${needed}`)
}

/** @throws ArgumentError for options that would do nothing, which says when they do something */
function refuseIdle(
  { components: { place, transformer } }: StableDiffusion3Model,
  settings: Settings,
  { task, className, dynamic }: { readonly task: Task; readonly className: string; readonly dynamic: boolean },
): void {
  const { skipLayers = [], guidance } = settings
  const outside = skipLayers.filter((layer) => layer >= transformer.config.num_layers)
  if (outside.length > 0)
    throw new ArgumentError(
      `skipLayers: the transformer has blocks 0 to ${transformer.config.num_layers - 1}; got ${outside.join(', ')}`,
    )
  const given = (name: keyof typeof plainSettings) => settings[name] !== plainSettings[name]
  const idle: string[] = []
  if (given('strength') && task !== 'image-to-image' && task !== 'inpaint') idle.push('strength (a picture to start from)')
  for (const name of ['maskPadding', 'maskBlur'] as const)
    if (given(name) && task !== 'inpaint') idle.push(`${name} (a picture to repaint)`)
  if (settings.mu !== undefined && !dynamic) idle.push('mu (a scheduler with use_dynamic_shifting)')
  if (skipLayers.length > 0 && !(guidance > 1)) idle.push('skipLayers (guidance above 1)')
  for (const name of ['skipScale', 'skipStart', 'skipStop'] as const)
    if (given(name) && skipLayers.length === 0) idle.push(`${name} (skipLayers)`)
  if (idle.length === 0) return
  throw new ArgumentError(`${className} of ${place} has no use for ${idle.join(', ')}: leave it out`)
}
