import { ArgumentError } from '../../core/errors.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import type { Choices } from './choices.ts'
import { conditions } from './conditions.ts'
import type { Companion } from './denoiser.ts'
import type { Loaded } from './loaded.ts'
import type { Settings } from './options.ts'
import { asBatch, fitted, levelsOf } from './pictures.ts'
import {
  callsUntil,
  distilledTimesteps,
  type Generating,
  guidedBy,
  noised,
  sampleLatents,
  startOf,
  stepsBefore,
} from './sampling.ts'

/** What the latents of the run lie beside: depth for the depth model. */
export type Beside = NdArray<'f32'> | undefined

/**
 * Latents from a prompt and a picture, as diffusers' `…Img2ImgPipeline`s sample them: the picture is noised to the level at which
 * its strength starts. With `denoisingStart` the picture, or the latents, are taken as that level's already (XL's refiner).
 */
export async function* imageToImage(
  loaded: Loaded,
  settings: Settings,
  choices: Choices,
  companions: readonly Companion[],
  beside?: Beside,
): Generating {
  const { guidance, scheduler, steps } = choices
  const { image, latents: given, denoisingStart } = settings
  const { rows, embedded } = await conditions(loaded, settings, guidance, choices)
  const later = denoisingStart !== undefined && denoisingStart > 0 && denoisingStart < 1
  const distilled = choices.className.startsWith('LatentConsistency') ? distilledTimesteps(choices) : undefined
  const start = distilled ? 0 : later ? stepsBefore(scheduler, steps, denoisingStart) : startOf(choices)
  const pixels = image && asBatch(fitted(levelsOf(image), choices))
  if (!pixels && !given) throw new ArgumentError('image: image to image needs a picture, or latents')
  return yield* sampleLatents(loaded, settings, choices, {
    rows,
    embedded,
    companions,
    combine: guidedBy(guidance, settings.rescale),
    start,
    end: callsUntil(scheduler, steps, settings.denoisingEnd, start),
    timesteps: distilled,
    async begin(generator, picture) {
      const data = given
        ? (given.slice(0, picture, picture + 1) as NdArray<'f32'>)
        : await loaded.latents.encode(pixels as NdArray<'f32'>, generator)
      if (later) return { x: data, beside }
      return { x: data, renew: noised(data, generator.randn(data.shape)), beside }
    },
    begun: () => loaded.done(loaded.latents),
  })
}
