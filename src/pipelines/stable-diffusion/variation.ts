import { ArgumentError } from '../../core/errors.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { constantly } from './conditions.ts'
import { type SamplingLatents, sampleTask } from './latent-run.ts'
import type { StableDiffusionModel } from './model.ts'
import type { Settings } from './options.ts'
import type { SamplingPlan } from './plan.ts'

/**
 * Latents of pictures like the given one, whose CLIP embedding stands where a text would: diffusers'
 * `StableDiffusionImageVariationPipeline`.
 */
export async function* variation(model: StableDiffusionModel, settings: Settings, plan: SamplingPlan): SamplingLatents {
  const { components, imageEncoder, latents, factor } = model
  if (!settings.image) throw new ArgumentError('image: a variation needs a picture')
  if (!imageEncoder) throw new ArgumentError(`${components.place} has no image_encoder, which variations need`)
  const embeds = await imageEncoder.embed(settings.image)
  await model.done(imageEncoder)
  const context = embeds.reshape([1, 1, embeds.size])
  const shape = [1, latents.channels, plan.height / factor, plan.width / factor]
  return yield* sampleTask(model, settings, plan, {
    conditions: constantly([...(plan.guidance > 1 ? [{ context: NdArray.zeros(context.shape) }] : []), { context }]),
    prepare: (generator, _, initialSigma) => ({ x: generator.randn(shape).mul(initialSigma) }),
  })
}
