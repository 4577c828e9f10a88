import { ArgumentError } from '../../core/errors.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { Choices } from './choices.ts'
import type { Loaded } from './loaded.ts'
import type { Settings } from './options.ts'
import { type Generating, guidedBy, sampleLatents } from './sampling.ts'
import { embedPicture } from './vision.ts'

/**
 * Latents of pictures like the given one, whose CLIP embedding stands where a text would: diffusers'
 * `StableDiffusionImageVariationPipeline`.
 */
export async function* variation(loaded: Loaded, settings: Settings, choices: Choices): Generating {
  const { components, compileOptions, latents, factor } = loaded
  const { guidance, height, width } = choices
  const { imageEncoder, place } = components
  if (!settings.image) throw new ArgumentError('image: a variation needs a picture')
  if (!imageEncoder) throw new ArgumentError(`${place} has no image_encoder, which variations need`)
  const embeds = await embedPicture(imageEncoder, settings.image, compileOptions)
  const context = embeds.reshape([1, 1, embeds.size])
  const rows = [...(guidance > 1 ? [{ context: NdArray.zeros(context.shape) }] : []), { context }]
  return yield* sampleLatents(loaded, settings, choices, {
    rows,
    combine: guidedBy(guidance, settings.rescale),
    begin: (generator, _, initialSigma) => ({
      x: generator.randn([1, latents.channels, height / factor, width / factor]).mul(initialSigma),
    }),
  })
}
