import type { Conditioner } from '../parts/denoiser.ts'
import { conditions } from './conditions.ts'
import { latentsOf, type SamplingLatents, sampleTask, spanOf } from './latent-run.ts'
import type { StableDiffusionModel } from './model.ts'
import type { Settings } from './options.ts'
import type { SamplingPlan } from './plan.ts'

/** Latents from a prompt, as diffusers' `StableDiffusionPipeline` and `StableDiffusionXLPipeline` sample them. */
export async function* textToImage(
  model: StableDiffusionModel,
  settings: Settings,
  plan: SamplingPlan,
  conditioners: readonly Conditioner[],
): SamplingLatents {
  const { latents, factor } = model
  const shape = [1, latents.channels, plan.height / factor, plan.width / factor]
  return yield* sampleTask(model, settings, plan, {
    conditions: await conditions(model, settings, plan.guidance, plan, spanOf(settings, plan)),
    conditioners,
    prepare: (generator, picture, initialSigma) => {
      const noise = settings.latents ? latentsOf(settings.latents, picture, settings.num) : generator.randn(shape)
      return { x: noise.mul(initialSigma) }
    },
  })
}
