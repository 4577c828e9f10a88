import { ArgumentError } from '../../core/errors.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { asGivenOrFitted } from '../images/fit.ts'
import { noiserOf } from '../sampling/noising.ts'
import { conditions, withEntries } from './conditions.ts'
import { type SamplingLatents, sampleTask, spanOf } from './latent-run.ts'
import type { StableDiffusionModel } from './model.ts'
import type { Settings } from './options.ts'
import type { SamplingPlan } from './plan.ts'

/**
 * Latents of a picture four times as large, from the picture and a prompt: the network sees it, noised to a level that it is told
 * (Rombach et al. 2022; noise conditioning as Ho et al. 2022b). `plan` has the given picture's size.
 */
export async function* upscale(model: StableDiffusionModel, settings: Settings, plan: SamplingPlan): SamplingLatents {
  const { guidance, noiseLevel, height, width } = plan
  const { lowResScheduler, place } = model.components
  if (!lowResScheduler)
    throw new ArgumentError(`${place}: an upscaler needs low_res_scheduler/, which says how its picture is noised`)
  if (!settings.image) throw new ArgumentError('image: upscaling needs a picture')
  const pixels = asGivenOrFitted(settings.image, { ...plan, kernel: 'bicubic' })
  const classLabels = new NdArray(BigInt64Array.of(BigInt(noiseLevel)), [1], 'i64')
  const told = await conditions(model, settings, guidance, plan, spanOf(settings, plan))
  const own = withEntries(told, (entries) => entries.map((entry) => ({ ...entry, classLabels })))
  const noised = noiserOf(lowResScheduler, noiseLevel)
  let channels: NdArray<'f32'> | undefined
  return yield* sampleTask(model, settings, plan, {
    conditions: own,
    prepare(generator, _, initialSigma) {
      // In diffusers the first picture's generator noises the given picture for all of them.
      channels ??= noised(pixels, generator)
      return { x: generator.randn([1, model.latents.channels, height, width]).mul(initialSigma), channels }
    },
  })
}
