import { ArgumentError } from '../../core/errors.ts'
import type { Scheduler, SchedulerConfig } from '../../diffusion/index.ts'
import type { Size } from './conditions.ts'
import { type Defaults, families } from './families.ts'
import type { Loaded } from './loaded.ts'
import type { Settings } from './options.ts'
import { schedulerFor } from './schedulers.ts'

/** What a run takes where the caller left it to the pipeline. */
export interface Choices extends Required<Defaults>, Size {
  readonly className: string
  readonly scheduler: Scheduler
}

/** The settings of a pipeline class, with its defaults. @throws ArgumentError for a size that is no whole number of latents */
export function choose(loaded: Loaded, settings: Settings, className: string, size: Size | undefined): Choices {
  const { components, factor } = loaded
  const { defaults } = families[className] as (typeof families)[string]
  const own = size ?? trainedSize(loaded)
  const { height = own.height, width = own.width } = settings
  for (const [side, pixels] of Object.entries({ height, width })) {
    if (pixels % factor !== 0) throw new ArgumentError(`${side}: ${pixels} is no multiple of ${factor}, the pixels of one latent`)
  }
  return {
    className,
    scheduler: schedulerFor(className, components.scheduler, settings.scheduler as string | SchedulerConfig | undefined),
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

/** The pictures' size that the U-Net was trained on. */
export function trainedSize({ components: { unet, place, className }, factor }: Loaded): Size {
  const [height, width] = [unet.config.sample_size ?? []].flat()
  if (height === undefined) throw new ArgumentError(`${place}: the U-Net's config has no sample_size: give height and width`)
  // The first checkpoints had 32 there, whatever they were trained on, and diffusers reads it as 64.
  const early = !className.includes('XL') && unet.version !== undefined && /^0\.[0-8]\./.test(unet.version)
  const side = (latents: number) => (early && height < 64 ? 64 : latents) * factor
  return { height: side(height), width: side(width ?? height) }
}
