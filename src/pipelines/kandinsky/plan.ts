import { ArgumentError } from '../../core/errors.ts'
import type { Scheduler } from '../../diffusion/index.ts'
import type { Size } from '../images/fit.ts'
import type { Plan } from '../page.ts'
import { startOf } from '../sampling/schedule.ts'
import { type KandinskyModel, latentSize } from './model.ts'
import type { KandinskySettings } from './options.ts'

/** diffusers' classes by what they do. */
const tasks = {
  text: 'KandinskyV22Pipeline',
  image: 'KandinskyV22Img2ImgPipeline',
  inpaint: 'KandinskyV22InpaintPipeline',
  control: 'KandinskyV22ControlnetPipeline',
  controlImage: 'KandinskyV22ControlnetImg2ImgPipeline',
} as const
type Task = keyof typeof tasks

/** Every class of a decoder's folder, with those that have a prior of their own. */
export const decoderClasses = Object.values(tasks).flatMap((name) =>
  name.includes('Controlnet') ? [name] : [name, name.replace(/Pipeline$/, 'CombinedPipeline')],
)

/** What a run does. */
export interface KandinskyPlan {
  readonly task: Task
  readonly className: string
  readonly scheduler: Scheduler
  readonly strength: number
  /** Steps left out at the start. */
  readonly start: number
  /** Of the latents. */
  readonly size: Size
}

/** @throws ArgumentError for settings that contradict each other or the model */
export function planOf(model: KandinskyModel, settings: KandinskySettings): KandinskyPlan {
  const { image, mask, controls, strength = 0.3, steps } = settings
  const { sight, className, place } = model
  const need = (what: string): never => {
    throw new ArgumentError(`${what}: ${place} is a ${className}, which needs it`)
  }
  const refuse = (what: string, why: string): never => {
    throw new ArgumentError(`${what}: the network of ${place} has no use for it: ${why}`)
  }
  checkEmbeddings(model, settings)
  const control = controls?.[0]
  if (sight === 'hint' && !control) need('control')
  if (sight !== 'hint' && control) refuse('control', 'it takes no control image')
  if (sight === 'masked' && !mask) need('mask')
  if (sight !== 'masked' && mask) refuse('mask', 'it is not made for in-painting')
  if ((sight === 'masked' || className.includes('Img2Img')) && !image) need('image')
  if (settings.imageEmbeds === undefined) model.prior?.strengthOf(settings)
  // The prior may be all that sees the picture.
  const starts = image !== undefined && (className.includes('Img2Img') || settings.strength !== undefined || !priorOnly(settings))
  const task: Task =
    sight === 'masked' ? 'inpaint' : sight === 'hint' ? (starts ? 'controlImage' : 'control') : starts ? 'image' : 'text'
  const from = task === 'image' || task === 'controlImage'
  if (!from && settings.strength !== undefined) refuse('strength', 'there is no picture to start from')
  return {
    ...{ task, strength, className: tasks[task], scheduler: model.schedulerOf(settings) },
    start: from ? startOf({ steps, strength }) : 0,
    size: latentSize(model, settings, from),
  }
}

/** Where the embeddings come from: a prior and a prompt, or the caller. @throws ArgumentError for neither, and for both */
function checkEmbeddings({ prior, place, network }: KandinskyModel, settings: KandinskySettings): void {
  const { prompt, imageEmbeds, negativeImageEmbeds, guidance, num } = settings
  const fault = (text: string) => new ArgumentError(text)
  if (imageEmbeds === undefined) {
    if (prompt === undefined) throw fault('prompt: missing; this model needs it, or imageEmbeds')
    if (!prior) throw fault(`prior: ${place} decodes embeddings; name the folder of a prior that makes them (--prior)`)
    if (negativeImageEmbeds) throw fault('negativeImageEmbeds: they belong to imageEmbeds')
    return
  }
  if (prompt !== undefined) throw fault('imageEmbeds: they stand for a prompt: give one of both')
  if (guidance > 1 && !negativeImageEmbeds) throw fault('imageEmbeds: guidance above 1 needs negativeImageEmbeds')
  const width = (network.config as { readonly encoder_hid_dim: number }).encoder_hid_dim
  for (const [name, { shape }] of Object.entries({ imageEmbeds, ...(negativeImageEmbeds && { negativeImageEmbeds }) }))
    if (shape.length !== 2 || (shape[0] !== 1 && shape[0] !== num) || shape[1] !== width)
      throw fault(`${name}: expected [1, ${width}] or [${num}, ${width}], got [${shape.join(', ')}]`)
}

const priorOnly = ({ priorStrength, strength }: KandinskySettings) => priorStrength !== undefined && strength === undefined

/** A run in the words of a picture's metadata. */
export function inWords(model: KandinskyModel, settings: KandinskySettings): Plan {
  const { className, scheduler, strength, size, task } = planOf(model, settings)
  const { factor } = model.latents
  const from = task === 'image' || task === 'controlImage'
  return {
    className,
    ...(scheduler.warnings.length > 0 && { warnings: scheduler.warnings }),
    settings: {
      Steps: settings.steps,
      Sampler: scheduler.className,
      'CFG scale': settings.guidance,
      Size: `${size.width * factor}x${size.height * factor}`,
      'Denoising strength': from ? strength : undefined,
      ...(settings.imageEmbeds === undefined && {
        'Prior steps': settings.priorSteps,
        'Prior CFG scale': settings.priorGuidance,
        'Prior strength': model.prior?.strengthOf(settings),
      }),
    },
  }
}
