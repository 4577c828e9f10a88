import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import type { Scheduler } from '../../diffusion/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { numOption, schedulerOption, seedOption } from '../options.ts'
import type { Plan } from '../page.ts'
import { type Grid, startOf } from '../sampling/schedule.ts'
import { samplerIn } from '../sampling/schedulers.ts'

const count = z.int().positive().optional()
const share = z.number().min(0).max(1)
const picture = z.instanceof(NdArray).optional()
const apart = { apart: true } as const

const common = {
  prompt: z.string().meta({ description: 'what the picture shows' }),
  negative: z.string().optional().meta({ description: 'what it does not show' }),
  steps: count.meta({ description: "sampling steps; as many as the model's own pipeline takes unless given" }),
  timesteps: z.array(z.number()).min(1).optional().meta({ description: 'timesteps of its own, falling, instead of steps' }),
  guidance: z.number().optional().meta({ description: 'how strongly the prompt guides; 1 or less is not at all' }),
  seed: seedOption,
  width: count.meta({ description: "in pixels; the model's own unless given" }),
  height: count.meta({ description: 'in pixels' }),
  num: numOption,
  scheduler: schedulerOption,
  eta: share.default(0).meta({ description: 'noise that ddim and tcd renew' }),
  clean: z.boolean().default(true).meta({
    description: 'clean the prompt as captions of training were: addresses, numbers of articles, file names and brackets go',
  }),
  watermark: z.boolean().default(true).meta({ description: "lay the model's mark over the picture's corner, where it has one" }),
  strength: share.optional().meta({ description: 'how far a given picture may change' }),
  mask: picture.meta({ media: 'picture', description: 'a picture as large: what is white is repainted' }),
  /** States of T5 for one text, [1, tokens, width], instead of the prompt: what another stage's encoder made. */
  promptEmbeds: picture.meta(apart),
  negativePromptEmbeds: picture.meta(apart),
  /** Gives the states of both texts with the pictures, for stages without a text encoder. */
  handsOn: z.boolean().default(false).meta(apart),
}

/** What the first stage takes. */
export const baseOptions = z.object({
  ...common,
  image: picture.meta({ media: 'picture', description: 'a picture to start from' }),
})

/** What the second stage takes. */
export const superResolutionOptions = z.object({
  ...common,
  /** f32 [3, H, W] for all pictures, or [num, 3, H, W], one for each. */
  image: z.instanceof(NdArray).meta({ media: 'picture', each: true, description: 'the small picture to enlarge' }),
  original: picture.meta({ media: 'picture', description: 'the large picture that a small one was made from, to start from' }),
  noiseLevel: z.int().min(0).optional().meta({ description: 'noise that is added to the small picture' }),
})

type Signal = { readonly signal?: AbortSignal | undefined }
export type BaseSettings = z.output<typeof baseOptions> & Signal
export type SuperResolutionSettings = z.output<typeof superResolutionOptions> & Signal

interface Defaults {
  readonly steps: number
  readonly guidance: number
  readonly strength?: number
  readonly noiseLevel?: number
}

/** Classes of our own, for stages whose network is not diffusers': those whose defaults they have. */
export const alike: Readonly<Record<'base' | 'superResolution', string>> = {
  base: 'ImagenPipeline',
  superResolution: 'ImagenSuperResolutionPipeline',
}

/** diffusers' classes with the defaults of their `__call__` (v0.42). */
export const bases = {
  IFPipeline: { steps: 100, guidance: 7 },
  IFImg2ImgPipeline: { steps: 80, guidance: 10, strength: 0.7 },
  IFInpaintingPipeline: { steps: 50, guidance: 7, strength: 1 },
} as const satisfies Record<string, Defaults>

export const superResolutions = {
  IFSuperResolutionPipeline: { steps: 50, guidance: 4, noiseLevel: 250 },
  IFImg2ImgSuperResolutionPipeline: { steps: 50, guidance: 4, strength: 0.8, noiseLevel: 250 },
  IFInpaintingSuperResolutionPipeline: { steps: 100, guidance: 4, strength: 0.8, noiseLevel: 0 },
} as const satisfies Record<string, Defaults>

/** What a run takes where the caller left it to the pipeline. */
export interface IfPlan extends Required<Defaults> {
  readonly className: string
  readonly scheduler: Scheduler
  readonly grid: Grid
  /** Steps left out at the start: those of a picture's strength. */
  readonly start: number
}

interface Given {
  readonly settings: Omit<BaseSettings, 'image'> & { readonly noiseLevel?: number | undefined }
  /** The picture that a run starts from. */
  readonly from: NdArray | undefined
  /** What the option is called that brings it. */
  readonly name: 'image' | 'original'
  readonly place: string
  readonly schedulerOf: (className: string) => Scheduler
}

/** The class that does what is asked for, and its defaults: by whether a picture to start from is given, and a mask. @throws ArgumentError */
export function planOf(classes: Readonly<Record<string, Defaults>>, { settings, from, name, place, schedulerOf }: Given): IfPlan {
  const { mask, strength, steps, timesteps, guidance, noiseLevel, width, height } = settings
  const [plain, image, inpaint] = Object.entries(classes) as [string, Defaults][] as [
    [string, Defaults],
    [string, Defaults],
    [string, Defaults],
  ]
  if (mask && !from) throw new ArgumentError(`mask: it belongs to a picture: give ${name} too`)
  const [className, defaults] = mask ? inpaint : from ? image : plain
  const refuse = (option: string, why: string) => {
    throw new ArgumentError(`${option}: ${className} of ${place} has no use for it: ${why}`)
  }
  if (!from && strength !== undefined) refuse('strength', `give ${name}, which it changes`)
  if (from && (width !== undefined || height !== undefined)) refuse('width and height', `the size is that of ${name}`)
  if (steps !== undefined && timesteps) throw new ArgumentError('steps and timesteps: give one of them')
  if (settings.promptEmbeds && settings.prompt !== '')
    throw new ArgumentError('promptEmbeds: they stand for the prompt: leave the prompt empty')
  const grid = timesteps ? { timesteps } : { steps: steps ?? defaults.steps }
  const number = timesteps?.length ?? (grid.steps as number)
  const plan = {
    className,
    scheduler: schedulerOf(className),
    grid,
    steps: number,
    guidance: guidance ?? defaults.guidance,
    strength: strength ?? defaults.strength ?? 1,
    noiseLevel: noiseLevel ?? defaults.noiseLevel ?? 0,
  }
  if (settings.eta !== 0 && !plan.scheduler.accepts.includes('eta')) refuse('eta', 'it is for the schedulers ddim and tcd')
  // A scheduler that does not take timesteps of one's own says so before anything runs.
  if (timesteps) plan.scheduler.timesteps(grid)
  return { ...plan, start: from ? startOf(plan) : 0 }
}

/** A run in the words of a picture's metadata. */
export function inWords(plan: IfPlan, settings: Given['settings'], { enlarges }: { readonly enlarges: boolean }): Plan {
  const { className, scheduler, steps, guidance, strength, noiseLevel } = plan
  const starts = className.includes('Img2Img') || className.includes('Inpainting')
  return {
    className,
    ...(scheduler.warnings.length > 0 && { warnings: scheduler.warnings }),
    settings: {
      Steps: steps,
      ...samplerIn(scheduler, settings.scheduler),
      'CFG scale': guidance,
      Timesteps: settings.timesteps?.join(' '),
      'Denoising strength': starts ? strength : undefined,
      'Noise level': enlarges ? noiseLevel : undefined,
      'Prompt cleaned': settings.clean ? undefined : 'no',
      Watermark: settings.watermark ? undefined : 'no',
      Eta: settings.eta === 0 ? undefined : settings.eta,
    },
  }
}
