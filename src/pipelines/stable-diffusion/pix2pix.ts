import { ArgumentError } from '../../core/errors.ts'
import { rescaled } from '../../diffusion/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { asBatch, fitted, levelsOf } from '../images/fit.ts'
import { conditions, withEntries } from './conditions.ts'
import { type SamplingLatents, sampleTask, spanOf } from './latent-run.ts'
import type { StableDiffusionModel } from './model.ts'
import type { Settings } from './options.ts'
import type { SamplingPlan } from './plan.ts'

/**
 * Latents of a picture changed as the prompt says (InstructPix2Pix: Brooks et al. 2023). Guided by the text and by the picture,
 * eq. 3; unguided where the one is 1 or less, or the other less than 1.
 */
export async function* instructedEdit(model: StableDiffusionModel, settings: Settings, plan: SamplingPlan): SamplingLatents {
  const { guidance, imageGuidance, height, width } = plan
  const { latents, factor } = model
  if (!settings.image) throw new ArgumentError('image: an instructed edit needs a picture')
  const pixels = asBatch(fitted(levelsOf(settings.image), plan))
  const guided = guidance > 1 && imageGuidance >= 1
  const told = await conditions(model, settings, guided ? guidance : 1, plan, spanOf(settings, plan))
  const mode = await latents.encodeMode(pixels)
  await model.done(latents)
  const { options, vae } = model.components
  const seen = options.is_cosxl_edit === true ? mode.mul(vae.config.scaling_factor) : mode
  const three = withEntries(told, (entries) => {
    const [negative, positive] = entries
    return negative && positive
      ? [positive, negative, negative].map((entry) => ({ ...entry, timeIds: positive.timeIds }))
      : entries
  })
  const combine = (output: NdArray<'f32'>) => {
    if (output.shape[0] === 1) return output
    const [text, image, none] = [0, 1, 2].map((i) => output.slice(0, i, i + 1)) as [NdArray, NdArray, NdArray]
    const sum = none.add(text.sub(image).mul(guidance)).add(image.sub(none).mul(imageGuidance))
    return rescaled(sum, text, settings.rescale)
  }
  const shape = [1, latents.channels, height / factor, width / factor]
  return yield* sampleTask(model, settings, plan, {
    conditions: three,
    combine,
    prepare: (generator, _, initialSigma) => ({
      x: generator.randn(shape).mul(initialSigma),
      channels: guided ? NdArray.concat([seen, seen, NdArray.zeros(seen.shape)]) : seen,
    }),
  })
}
