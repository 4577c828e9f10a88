import type { Conditioner } from '../parts/denoiser.ts'
import { conditions } from './conditions.ts'
import { type SamplingLatents, sampleTask } from './latent-run.ts'
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
    entries: await conditions(model, settings, plan.guidance, plan),
    conditioners,
    prepare: (generator, _, initialSigma) => ({ x: generator.randn(shape).mul(initialSigma) }),
  })
}
