import { ArgumentError } from '../../core/errors.ts'
import { cubic } from '../images/cubic.ts'
import { imageToImage } from './image-to-image.ts'
import type { SamplingLatents } from './latent-run.ts'
import type { StableDiffusionModel } from './model.ts'
import type { Settings } from './options.ts'
import type { SamplingPlan } from './plan.ts'

/** Latents of a picture made anew in the depth that is given (depth model of Stable Diffusion 2): image to image with a depth map behind. */
export async function* depthToImage(model: StableDiffusionModel, settings: Settings, plan: SamplingPlan): SamplingLatents {
  const { depth } = settings
  if (!depth) throw new ArgumentError('depth: this model needs a depth map, [1, H, W]; no network that estimates one is run here')
  const size = { height: Math.floor(plan.height / model.factor), width: Math.floor(plan.width / model.factor) }
  const map = cubic(depth.cast('f32').slice(0, 0, 1), size)
  const [low, high] = [map.min().item(), map.max().item()]
  const channels = map
    .sub(low)
    .div(high - low)
    .mul(2)
    .sub(1)
    .reshape([1, 1, size.height, size.width])
  return yield* imageToImage(model, settings, plan, [], channels)
}
