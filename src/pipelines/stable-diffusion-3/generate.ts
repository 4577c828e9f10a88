import { canvasOf, laidOver } from '../images/canvas.ts'
import type { Generation } from '../page.ts'
import { guidedBy } from '../sampling/guidance.ts'
import { sampleLatents } from '../sampling/run.ts'
import { scheduleOf } from '../sampling/schedule.ts'
import { controlConditioner } from './controlnet.ts'
import type { StableDiffusion3Model } from './model.ts'
import type { Settings } from './options.ts'
import { planOf, type SamplingPlan } from './plan.ts'
import { guidedWithSkips, skippingLayers } from './skip-layers.ts'
import { controlled, fromImage, fromMasked, fromNoise, type Prepare } from './starts.ts'

/** Pictures, or their latents, by the task that the settings ask for. */
export async function* generate(model: StableDiffusion3Model, settings: Settings): Generation {
  const plan = planOf(model, settings)
  const { latents: coder, components, controlnets } = model
  const { guidance, seed, num, signal, skipLayers = [], skipScale } = settings
  const canvas = plan.task === 'inpaint' ? canvasOf(settings, plan) : undefined
  const entries = await model.prompts.encode(settings, guidance > 1)
  const isSkipping = skipLayers.length > 0
  const transformer = isSkipping
    ? skippingLayers(model.transformer, model.skipping, {
        ...{ layers: skipLayers, steps: plan.steps },
        ...{ start: settings.skipStart, stop: settings.skipStop },
      })
    : model.transformer
  const { steps, start, mu } = plan
  const z = yield* sampleLatents({
    denoiser: transformer,
    scheduler: plan.scheduler,
    schedule: scheduleOf(plan.scheduler, { steps, ...(start > 0 && { start }), ...(mu !== undefined && { mu }) }),
    combine: isSkipping ? guidedWithSkips(guidance, skipScale) : guidedBy(guidance),
    preview: async (latents) => ({ type: 'pictures', pictures: await coder.decode(latents) }),
    ...{ seed, num, signal },
    entries: entries.map(({ context, pooled }) => ({ context, pooled })),
    conditioners: controlConditioner(controlnets, actions(settings, controlnets.length), components),
    prepare: canvas ? fromMasked(model, plan, canvas) : await prepareOf(model, settings, plan),
    onPrepared: () => model.done(coder),
  })
  await model.done(transformer)
  if (settings.output === 'latents') return { type: 'latents', latents: z }
  const pictures = await coder.decode(z)
  await model.done(coder)
  return { type: 'pictures', pictures: canvas ? laidOver(pictures, canvas) : pictures }
}

async function prepareOf(model: StableDiffusion3Model, settings: Settings, plan: SamplingPlan): Promise<Prepare> {
  if (plan.task === 'image-to-image') return fromImage(model, settings, plan)
  return plan.task === 'text-to-image' ? fromNoise(model, plan) : controlled(model, settings, plan)
}

/** How each ControlNet acts. */
const actions = ({ controls = [], image }: Settings, nets: number) =>
  controls.length === 0 && image ? Array.from({ length: nets }, () => ({ scale: 1, start: 0, end: 1 })) : controls

/** A run in the words of a picture's metadata; what changes nothing is left out. */
export function inWords(model: StableDiffusion3Model, settings: Settings) {
  const { className, task, scheduler, steps, strength, mu } = planOf(model, settings)
  const { guidance, clipSkip, skipLayers, skipScale, controls, prompt2, negative2, prompt3, negative3, maxLength } = settings
  const given = task === 'image-to-image' || task === 'inpaint'
  return {
    className,
    together: task !== 'text-to-image' && task !== 'image-to-image',
    settings: {
      Steps: steps,
      Sampler: scheduler.className,
      'CFG scale': guidance,
      'Denoising strength': given ? strength : undefined,
      'Clip skip': clipSkip === undefined ? undefined : clipSkip + 1,
      'Second prompt': prompt2,
      'Second negative prompt': negative2,
      'Third prompt': prompt3,
      'Third negative prompt': negative3,
      'Max length': maxLength,
      Shift: mu,
      'Skipped layers': skipLayers?.join('; '),
      'Skip-layer scale': skipLayers ? skipScale : undefined,
      'Mask blur': settings.maskBlur || undefined,
      'Masked area padding': settings.maskPadding,
      'Control scales': controls?.map(({ scale }) => scale).join('; '),
    },
  }
}
