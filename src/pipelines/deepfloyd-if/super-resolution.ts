import { alignedBilinear } from '../images/bilinear.ts'
import { scheduler } from '../open/parts.ts'
import { type Page, page } from '../page.ts'
import { noiserOf } from '../sampling/noising.ts'
import {
  alike,
  type IfPlan,
  inWords,
  planOf,
  type SuperResolutionSettings,
  superResolutionOptions,
  superResolutions,
} from './options.ts'
import { smallPictures, startingMask, startingPicture } from './pictures.ts'
import { checkSize, openStage, runStage, type Stage, schedulerOf, stageParts, startFrom } from './stage.ts'

const planned = (stage: Stage, settings: SuperResolutionSettings): IfPlan => {
  const { height = stage.side, width = stage.side } = settings
  checkSize(stage, height, width)
  return planOf(superResolutions, {
    settings,
    from: settings.original,
    name: 'original',
    place: stage.place,
    schedulerOf: schedulerOf(stage, settings.scheduler),
  })
}

/**
 * A picture enlarged by a network that sees it, noised to a level that it is told (Ho et al. 2022b): DeepFloyd's IF-II, diffusers'
 * `IFSuperResolutionPipeline`; from the picture that the small one was made of, its `IFImg2ImgSuperResolutionPipeline`, and with a mask
 * its `IFInpaintingSuperResolutionPipeline`.
 */
export const deepFloydIfSuperResolution: Page = page({
  classes: [...Object.keys(superResolutions), alike.superResolution],
  output: 'pictures',
  parts: { ...stageParts, image_noising_scheduler: scheduler() },
  options: superResolutionOptions,
  loads: ['quantize'],
  open: (parts, opened) => ({ ...openStage(parts, opened, 2), noising: parts.image_noising_scheduler }),
  plan(stage, settings) {
    const plan = planned(stage, settings)
    noiserOf(stage.noising, plan.noiseLevel)
    return inWords(plan, settings, { enlarges: true })
  },
  async *generate(stage, settings) {
    const plan = planned(stage, settings)
    const { side, channels } = stage
    const original = settings.original && startingPicture(settings.original, side)
    const mask = settings.mask && original && startingMask(settings.mask, side, original)
    const [, , height = side, width = side] = original?.shape ?? [1, channels, settings.height, settings.width]
    checkSize(stage, height, width)
    const enlarged = alignedBilinear(smallPictures(settings.image, settings.num), { height, width })
    const noised = noiserOf(stage.noising, plan.noiseLevel)
    return yield* runStage(stage, plan, settings, {
      level: plan.noiseLevel,
      prepare(generator, picture, initialSigma) {
        const start = startFrom(generator, initialSigma, { shape: [1, channels, height, width], picture: original, mask })
        const own = enlarged.shape[0] === 1 ? enlarged : enlarged.slice(0, picture, picture + 1)
        return { ...start, channels: noised(own, generator), scaled: true }
      },
    })
  },
})
