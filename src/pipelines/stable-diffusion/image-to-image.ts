import { ArgumentError } from '../../core/errors.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { asBatch, fitted, levelsOf } from '../images/fit.ts'
import type { Conditioner } from '../parts/denoiser.ts'
import { noised } from '../sampling/run.ts'
import { distilledTimesteps, startOf, stepsBefore } from '../sampling/schedule.ts'
import { conditions } from './conditions.ts'
import { latentsOf, type SamplingLatents, sampleTask, spanOf } from './latent-run.ts'
import type { StableDiffusionModel } from './model.ts'
import type { Settings } from './options.ts'
import type { SamplingPlan } from './plan.ts'

/**
 * Latents from a prompt and a picture, as diffusers' `…Img2ImgPipeline`s sample them: the picture is noised to the level at which
 * its strength starts. With `denoisingStart` the picture, or the latents, are taken as that level's already (XL's refiner).
 *
 * @param channels that the network sees behind the latents: depth for the depth model
 */
export async function* imageToImage(
  model: StableDiffusionModel,
  settings: Settings,
  plan: SamplingPlan,
  conditioners: readonly Conditioner[],
  channels?: NdArray<'f32'>,
): SamplingLatents {
  const { scheduler, grid } = plan
  const { latents: coder } = model
  const { image, latents: given, denoisingStart } = settings
  const later = denoisingStart !== undefined && denoisingStart > 0 && denoisingStart < 1
  const distilled = plan.className.startsWith('LatentConsistency') ? distilledTimesteps(scheduler, plan) : undefined
  const start = distilled ? 0 : later ? stepsBefore(scheduler, grid, denoisingStart) : startOf(plan)
  const told = await conditions(model, settings, plan.guidance, plan, spanOf(settings, plan, { start, timesteps: distilled }))
  const pixels = image && asBatch(fitted(levelsOf(image), { ...plan, mode: settings.resizeMode }))
  if (!pixels && !given) throw new ArgumentError('image: image to image needs a picture, or latents')
  return yield* sampleTask(model, settings, plan, {
    conditions: told,
    conditioners,
    start,
    timesteps: distilled,
    async prepare(generator, picture) {
      const data = given ? latentsOf(given, picture, settings.num) : await coder.encode(pixels as NdArray<'f32'>, generator)
      if (later) return { x: data, channels }
      return { x: data, blend: noised(data, generator.randn(data.shape)), channels }
    },
    onPrepared: () => model.done(coder),
  })
}
