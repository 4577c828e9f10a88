import { ArgumentError } from '../../core/errors.ts'
import {
  mergeSchedulerConfig,
  type Scheduler,
  type SchedulerConfig,
  samplerConfig,
  schedulerByName,
  schedulerClasses,
  schedulerFromConfig,
} from '../../diffusion/index.ts'

/** Names of diffusers' schedulers that sample Stable Diffusion, as people call them. */
export const schedulerNames: Readonly<Record<string, string>> = {
  ddim: 'DDIMScheduler',
  ddpm: 'DDPMScheduler',
  pndm: 'PNDMScheduler',
  lms: 'LMSDiscreteScheduler',
  euler: 'EulerDiscreteScheduler',
  'euler-ancestral': 'EulerAncestralDiscreteScheduler',
  heun: 'HeunDiscreteScheduler',
  dpm2: 'KDPM2DiscreteScheduler',
  'dpm2-ancestral': 'KDPM2AncestralDiscreteScheduler',
  'dpm++': 'DPMSolverMultistepScheduler',
  'dpm++-singlestep': 'DPMSolverSinglestepScheduler',
  'dpm++-sde': 'DPMSolverSDEScheduler',
  deis: 'DEISMultistepScheduler',
  unipc: 'UniPCMultistepScheduler',
  'sa-solver': 'SASolverScheduler',
  lcm: 'LCMScheduler',
  tcd: 'TCDScheduler',
}

/** Pipelines of diffusers that correct two fields of a scheduler from the first months. */
const correcting = new Set(['StableDiffusionPipeline', 'StableDiffusionImg2ImgPipeline', 'StableDiffusionInpaintPipeline'])

/**
 * The scheduler that a pipeline samples with: the checkpoint's own, or one by name (`euler`, `EulerDiscreteScheduler`) with the
 * checkpoint's noise schedule, as `Class.from_config(pipe.scheduler.config)` makes it; one by the names that other programs have
 * (`DPM++ 2M Karras`); or a config, whose options are laid over the checkpoint's.
 *
 * @throws ArgumentError that lists the names
 */
export function schedulerFor(className: string, stored: SchedulerConfig, chosen?: string | SchedulerConfig): Scheduler {
  const own = corrected(className, stored)
  if (chosen === undefined) return schedulerFromConfig(own)
  // What the stored config leaves to its class's defaults is left to the other's.
  const keptBy = (name: string) =>
    Object.fromEntries(Object.entries(own).filter(([key]) => name === own._class_name || key in stored)) as SchedulerConfig
  if (typeof chosen === 'object') return schedulerFromConfig(mergeSchedulerConfig(keptBy(chosen._class_name), chosen))
  const name = Object.hasOwn(schedulerNames, chosen) ? (schedulerNames[chosen] as string) : chosen
  if (schedulerClasses.includes(name)) return schedulerFromConfig({ ...keptBy(name), _class_name: name })
  try {
    return schedulerByName(keptBy(samplerConfig(chosen)._class_name), chosen)
  } catch (cause) {
    if (!(cause instanceof ArgumentError)) throw cause
    const known = Object.keys(schedulerNames).join(', ')
    throw new ArgumentError(
      `scheduler: no scheduler is called "${chosen}"; choose one of ${known}, a class of diffusers, or a name as DPM++ 2M Karras (${cause.message})`,
      { cause },
    )
  }
}

function corrected(className: string, stored: SchedulerConfig): SchedulerConfig {
  if (!correcting.has(className)) return stored
  const {
    steps_offset: offset = 1,
    clip_sample: clip = false,
    skip_prk_steps: skips = true,
  } = schedulerFromConfig(stored).options
  return {
    ...stored,
    ...(offset !== 1 && { steps_offset: 1 }),
    ...(clip === true && { clip_sample: false }),
    ...(skips === false && className.includes('Inpaint') && { skip_prk_steps: true }),
  }
}

/** The sampler by its class, or by the name that says more; and options that a config laid over the model's. */
export function samplerIn(
  { className }: Scheduler,
  wanted: string | Readonly<Record<string, unknown>> | undefined,
): Readonly<Record<string, string>> {
  if (wanted === undefined || (typeof wanted === 'string' && (Object.hasOwn(schedulerNames, wanted) || wanted === className)))
    return { Sampler: className }
  if (typeof wanted === 'string') return { Sampler: wanted }
  const { _class_name: _, ...options } = wanted
  const own = Object.entries(options).filter(([name]) => !name.startsWith('_'))
  return { Sampler: className, ...(own.length > 0 && { 'Sampler options': JSON.stringify(Object.fromEntries(own)) }) }
}
