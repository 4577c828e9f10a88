import { type Page, page } from '../page.ts'
import { alike, type BaseSettings, baseOptions, bases, type IfPlan, inWords, planOf } from './options.ts'
import { startingMask, startingPicture } from './pictures.ts'
import { checkSize, openStage, runStage, type Stage, schedulerOf, stageParts, startFrom } from './stage.ts'

const planned = (stage: Stage, settings: BaseSettings): IfPlan => {
  const { height = stage.side, width = stage.side } = settings
  checkSize(stage, height, width)
  return planOf(bases, {
    settings,
    from: settings.image,
    name: 'image',
    place: stage.place,
    schedulerOf: schedulerOf(stage, settings.scheduler),
  })
}

/**
 * Small pictures from a prompt that T5 reads, by diffusion of pixels (Saharia et al. 2022b): DeepFloyd's IF-I, diffusers' `IFPipeline`,
 * with a picture its `IFImg2ImgPipeline`, and with a mask its `IFInpaintingPipeline`.
 */
export const deepFloydIf: Page = page({
  classes: [...Object.keys(bases), alike.base],
  output: 'pictures',
  parts: stageParts,
  options: baseOptions,
  loads: ['quantize'],
  open: (parts, opened) => openStage(parts, opened, 1),
  plan: (stage, settings) => inWords(planned(stage, settings), settings, { enlarges: false }),
  async *generate(stage, settings) {
    const plan = planned(stage, settings)
    const { side, channels } = stage
    const { height = side, width = side } = settings
    const picture = settings.image && startingPicture(settings.image, side)
    if (picture) checkSize(stage, picture.shape[2] as number, picture.shape[3] as number)
    const mask = settings.mask && picture && startingMask(settings.mask, side, picture)
    const shape = [1, channels, height, width]
    return yield* runStage(stage, plan, settings, {
      prepare: (generator, _, initialSigma) => startFrom(generator, initialSigma, { shape, picture, mask }),
    })
  },
})
