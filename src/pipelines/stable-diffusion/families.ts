import { ConfigError } from '../../checkpoints/index.ts'
import { existsSync, join } from '../../runtime/system.ts'
import type { ModelSource } from '../open/source.ts'

/** What a pipeline class of diffusers does with a picture that it is given, and what it takes where nothing is said. */
export interface PipelineClass {
  /** SD 1 and 2 have one text encoder, XL two or, in the refiner, the second alone. */
  readonly xl: boolean
  readonly task: PictureTask
  readonly defaults: Defaults
}

export type PictureTask = 'text-to-image' | 'image-to-image' | 'inpaint' | 'pix2pix' | 'upscale' | 'depth' | 'variation'

/** The tasks that one checkpoint does by what it is given, and in which ControlNets and adapters act. */
export const sharedTasks = ['text-to-image', 'image-to-image', 'inpaint'] as const
export const isShared = (task: PictureTask): boolean => (sharedTasks as readonly PictureTask[]).includes(task)

export interface Defaults {
  readonly steps: number
  readonly guidance: number
  /** How much of the noising a given picture undergoes. */
  readonly strength?: number
  readonly imageGuidance?: number
  readonly noiseLevel?: number
  readonly controlScale?: number
}

const plain = (task: PictureTask, defaults: Partial<Defaults> = {}): PipelineClass => ({
  xl: false,
  task,
  defaults: { steps: 50, guidance: 7.5, ...defaults },
})
const xl = (task: PictureTask, defaults: Partial<Defaults> = {}): PipelineClass => ({
  xl: true,
  task,
  defaults: { steps: 50, guidance: 5, ...defaults },
})

/** diffusers' pipelines by class, with the defaults of their `__call__` (v0.42). */
export const families: Readonly<Record<string, PipelineClass>> = {
  StableDiffusionPipeline: plain('text-to-image'),
  StableDiffusionImg2ImgPipeline: plain('image-to-image', { strength: 0.8 }),
  StableDiffusionInpaintPipeline: plain('inpaint', { strength: 1 }),
  StableDiffusionInstructPix2PixPipeline: plain('pix2pix', { steps: 100, imageGuidance: 1.5 }),
  StableDiffusionUpscalePipeline: plain('upscale', { steps: 75, guidance: 9, noiseLevel: 20 }),
  StableDiffusionDepth2ImgPipeline: plain('depth', { strength: 0.8 }),
  StableDiffusionImageVariationPipeline: plain('variation'),
  StableDiffusionControlNetPipeline: plain('text-to-image', { controlScale: 1 }),
  StableDiffusionControlNetImg2ImgPipeline: plain('image-to-image', { strength: 0.8, controlScale: 0.8 }),
  StableDiffusionControlNetInpaintPipeline: plain('inpaint', { strength: 1, controlScale: 0.5 }),
  StableDiffusionXLPipeline: xl('text-to-image'),
  StableDiffusionXLImg2ImgPipeline: xl('image-to-image', { strength: 0.3 }),
  StableDiffusionXLInpaintPipeline: xl('inpaint', { guidance: 7.5, strength: 0.9999 }),
  StableDiffusionXLInstructPix2PixPipeline: xl('pix2pix', { steps: 100, imageGuidance: 1.5 }),
  StableDiffusionXLControlNetPipeline: xl('text-to-image', { controlScale: 1 }),
  StableDiffusionXLControlNetImg2ImgPipeline: xl('image-to-image', { strength: 0.8, controlScale: 0.8 }),
  StableDiffusionXLControlNetInpaintPipeline: xl('inpaint', { strength: 0.9999, controlScale: 1 }),
  LatentConsistencyModelPipeline: plain('text-to-image', { steps: 4, guidance: 8.5 }),
  LatentConsistencyModelImg2ImgPipeline: plain('image-to-image', { steps: 4, guidance: 8.5, strength: 0.8 }),
}

/** @throws ConfigError for a class that is none of Stable Diffusion's */
export function checkClass({ className, place }: ModelSource): void {
  if (Object.hasOwn(families, className)) return
  const known = Object.keys(families).join(', ')
  const file = join(place, 'model_index.json')
  throw new ConfigError(existsSync(file) ? file : place, `is ${className}; pictures from prompts come from ${known}`, {
    field: '_class_name',
  })
}

/** The class that does a task with the parts of another, as diffusers' AutoPipeline chooses it. */
export function classFor(className: string, task: PictureTask, controlled: boolean): string {
  const own = families[className] as PipelineClass
  if (className.startsWith('LatentConsistencyModel') && !controlled) {
    if (task === 'text-to-image') return 'LatentConsistencyModelPipeline'
    if (task === 'image-to-image') return 'LatentConsistencyModelImg2ImgPipeline'
  }
  if (own.task === task && className.includes('ControlNet') === controlled) return className
  const found = Object.entries(families).find(
    ([name, family]) =>
      family.task === task &&
      family.xl === own.xl &&
      name.includes('ControlNet') === controlled &&
      !name.startsWith('LatentConsistencyModel'),
  )
  return found?.[0] ?? className
}
