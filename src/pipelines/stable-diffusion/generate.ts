import { ArgumentError } from '../../core/errors.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { controls } from '../conditioning/controlnet.ts'
import { imagePrompts } from '../conditioning/ip-adapter.ts'
import { adapterFeatures } from '../conditioning/t2i-adapter.ts'
import { type Canvas, canvasOf, laidOver } from '../images/canvas.ts'
import type { Generation, Result } from '../page.ts'
import type { Conditioner } from '../parts/denoiser.ts'
import { chosen } from './choices.ts'
import { depthToImage } from './depth.ts'
import { isShared } from './families.ts'
import { secondPass } from './hires.ts'
import { imageToImage } from './image-to-image.ts'
import { inpaint } from './inpaint.ts'
import type { SamplingLatents } from './latent-run.ts'
import type { StableDiffusionModel } from './model.ts'
import { defaultSettings, type Settings } from './options.ts'
import { instructedEdit } from './pix2pix.ts'
import { planOf, type SamplingPlan } from './plan.ts'
import { lorasOf } from './prompt-loras.ts'
import { textToImage } from './text-to-image.ts'
import { upscale } from './upscale.ts'
import { variation } from './variation.ts'

/**
 * Pictures, or their latents. Where a prompt's choices differ from picture to picture, one run each.
 */
export async function* generate(model: StableDiffusionModel, settings: Settings): Generation {
  const runs = chosen(settings)
  if (runs.length === 1) return yield* run(model, runs[0] as Settings)
  const made: Result[] = []
  for (const [picture, own] of runs.entries()) made.push(yield* counted(run(model, own), picture, runs.length))
  const all = made.map((one) => (one.type === 'latents' ? one.latents : (one as Pictures).pictures))
  const joined = NdArray.concat(all)
  return settings.output === 'latents' ? { type: 'latents', latents: joined } : { type: 'pictures', pictures: joined }
}
type Pictures = Extract<Result, { type: 'pictures' }>

/** A run's steps as those of one of several. */
async function* counted(steps: Generation, picture: number, runs: number): Generation {
  for (let next = await steps.next(); ; next = await steps.next()) {
    if (next.done) return next.value
    const { done, total } = next.value
    yield { ...next.value, picture, done: picture * total + done, total: runs * total }
  }
}

/** By the task that the settings ask for; with a refiner, by two models one after the other; with a hires fix, in two passes. */
async function* run(base: StableDiffusionModel, settings: Settings): Generation {
  const plan = planOf(base, settings)
  const model = await base.withLoras(settings.promptEmbeds ? [] : lorasOf(settings))
  const { refiner } = model
  if (settings.hires !== undefined) {
    const { hires: _, hiresSteps: __, hiresStrength: ___, ...first } = settings
    const made = yield* stage(model, { ...first, hiresStrength: defaultSettings.hiresStrength, output: 'latents' })
    const { latents } = made as Extract<Result, { type: 'latents' }>
    return yield* stage(model, await secondPass(model, settings, plan, latents), 1)
  }
  if (!refiner || settings.output === 'latents') return yield* stage(model, settings)
  const { switchAt } = settings
  const canvas = canvasIn(plan, settings)
  const first = yield* stage(model, { ...settings, denoisingEnd: switchAt, output: 'latents' })
  const { latents } = first as Extract<typeof first, { type: 'latents' }>
  const { controls: _, imagePrompts: __, adapters: ___, strength: ____, image, ...rest } = settings
  const second = {
    ...rest,
    switchAt: defaultSettings.switchAt,
    guess: false,
    ...(canvas && { image }),
    latents,
    denoisingStart: switchAt,
  }
  return yield* stage(refiner, second, 1)
}

async function* stage(model: StableDiffusionModel, settings: Settings, number?: number): Generation {
  const plan = planOf(model, settings)
  const canvas = canvasIn(plan, settings)
  const conditioners = await conditionersOf(model, settings, plan, canvas)
  const z = yield* numbered(sampled(model, settings, plan, canvas, conditioners), number)
  await model.done(model.unet)
  if (settings.output === 'latents') return { type: 'latents', latents: z }
  const pictures = await model.latents.decode(z)
  await model.done(model.latents)
  return { type: 'pictures', pictures: canvas ? laidOver(pictures, canvas, settings.paste) : pictures }
}

const canvasIn = (plan: SamplingPlan, settings: Settings): Canvas | undefined =>
  plan.task === 'inpaint' ? canvasOf(settings, plan) : undefined

/** The steps of a cascade's stage under its number. */
async function* numbered(sampling: SamplingLatents, stage: number | undefined): SamplingLatents {
  for (let next = await sampling.next(); ; next = await sampling.next()) {
    if (next.done) return next.value
    yield stage === undefined ? next.value : { ...next.value, stage }
  }
}

/** What acts on the U-Net in a run beside the text. */
async function conditionersOf(
  { controlnets, imagePrompting, adapters, components }: StableDiffusionModel,
  settings: Settings,
  plan: SamplingPlan,
  canvas?: Canvas,
): Promise<Conditioner[]> {
  const found = [
    ...controls(controlnets, settings.controls, {
      fitting: { ...plan, box: canvas?.box },
      scale: plan.controlScale,
      guess: settings.guess,
      className: plan.className,
    }),
    ...(await imagePrompts(imagePrompting, settings.imagePrompts, components.unet)),
    ...(await adapterFeatures(adapters, settings.adapters, plan)),
  ]
  if (found.length === 0 || isShared(plan.task)) return found
  throw new ArgumentError(`${plan.className} takes no ControlNet and no adapter: open the model without`)
}

function sampled(
  model: StableDiffusionModel,
  settings: Settings,
  plan: SamplingPlan,
  canvas: Canvas | undefined,
  conditioners: readonly Conditioner[],
): SamplingLatents {
  switch (plan.task) {
    case 'text-to-image':
      return textToImage(model, settings, plan, conditioners)
    case 'image-to-image':
      return imageToImage(model, settings, plan, conditioners)
    case 'inpaint':
      return inpaint(model, settings, plan, conditioners, canvas as Canvas)
    case 'pix2pix':
      return instructedEdit(model, settings, plan)
    case 'upscale':
      return upscale(model, settings, plan)
    case 'depth':
      return depthToImage(model, settings, plan)
    case 'variation':
      return variation(model, settings, plan)
  }
}
