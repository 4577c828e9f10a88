import type { Choices } from './choices.ts'
import { conditions } from './conditions.ts'
import type { Companion } from './denoiser.ts'
import type { Loaded } from './loaded.ts'
import type { Settings } from './options.ts'
import { callsUntil, type Generating, guidedBy, sampleLatents } from './sampling.ts'

/** Latents from a prompt, as diffusers' `StableDiffusionPipeline` and `StableDiffusionXLPipeline` sample them. */
export async function* textToImage(
  loaded: Loaded,
  settings: Settings,
  choices: Choices,
  companions: readonly Companion[],
): Generating {
  const { guidance, height, width, scheduler, steps } = choices
  const { rows, embedded } = await conditions(loaded, settings, guidance, choices)
  return yield* sampleLatents(loaded, settings, choices, {
    rows,
    embedded,
    companions,
    combine: guidedBy(guidance, settings.rescale),
    end: callsUntil(scheduler, steps, settings.denoisingEnd),
    begin: (generator, _, initialSigma) => ({
      x: generator.randn([1, loaded.latents.channels, height / loaded.factor, width / loaded.factor]).mul(initialSigma),
    }),
  })
}
