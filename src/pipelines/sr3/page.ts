import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import { resize } from '../../images/resize.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { asGivenOrFitted, levelsOf, sizeOfPicture } from '../images/fit.ts'
import { network, scheduler } from '../open/parts.ts'
import { numOption, schedulerOption, seedOption, stepsOption } from '../options.ts'
import { type Page, page } from '../page.ts'
import { denoiser } from '../parts/denoiser.ts'
import { sampleLatents } from '../sampling/run.ts'
import { scheduleOf } from '../sampling/schedule.ts'
import { samplerIn, schedulerFor } from '../sampling/schedulers.ts'

const className = 'SR3Pipeline'
const options = z.object({
  image: z.instanceof(NdArray).meta({ media: 'picture', description: 'the picture to enlarge' }),
  steps: stepsOption.default(100),
  seed: seedOption,
  num: numOption,
  scheduler: schedulerOption,
})

/** What the network is told of a level: a thousand times the signal's share √γ, of unit variance in all. */
export const toldOf = ({ alpha, sigma }: { readonly alpha: number; readonly sigma: number }): number =>
  (1000 * alpha) / Math.hypot(alpha, sigma)

/**
 * A picture enlarged by repeated refinement (Saharia et al. 2021, SR3): the network sees it, enlarged bicubically, beside the noisy state,
 * and is told the share of signal and no step number, so that any schedule samples it. Nothing published has this form: the class is ours.
 */
export const sr3: Page = page({
  classes: [className],
  output: 'pictures',
  parts: { unet: network(['UNet2DModel']), scheduler: scheduler() },
  options,
  loads: ['quantize'],
  open({ unet, scheduler }, { source, load, compile, done }) {
    const { in_channels: inputs, out_channels: outputs, block_out_channels: widths } = unet.config
    const { scale } = source.fields
    if (typeof scale !== 'number' || !Number.isInteger(scale) || scale < 2)
      throw new ArgumentError(
        `${source.place}: scale is ${scale}; model_index.json must say how many times a picture is enlarged`,
      )
    if (inputs !== 6 || outputs !== 3)
      throw new ArgumentError(`${unet.place}: in_channels and out_channels are ${inputs} and ${outputs}; expected 6 and 3`)
    const working = denoiser(unet, (run, { sample, timestep }) => run(sample as never, timestep as never), compile, {
      quantize: load.quantize,
    })
    return { network: working, scheduler, scale, done, unit: 2 ** (widths.length - 1), release: () => working.release() }
  },
  plan(model, { steps, scheduler: chosen }) {
    const found = schedulerFor(className, model.scheduler, chosen)
    return {
      className,
      ...(found.warnings.length > 0 && { warnings: found.warnings }),
      settings: { Steps: steps, ...samplerIn(found, chosen) },
    }
  },
  async *generate({ network, scheduler, scale, unit, done }, { image, steps, seed, num, signal, scheduler: wanted }) {
    const chosen = schedulerFor(className, scheduler, wanted)
    const size = sizeOfPicture(levelsOf(image))
    const [height, width] = [size.height * scale, size.width * scale]
    if (height % unit !== 0 || width % unit !== 0)
      throw new ArgumentError(`image: enlarged it has ${width} × ${height} pixels, and the network needs multiples of ${unit}`)
    const small = asGivenOrFitted(image, size)
    const channels = resize(small, { height, width, kernel: 'bicubic' })
    const pictures = yield* sampleLatents({
      ...{ denoiser: network, scheduler: chosen, seed, num, signal, entries: [{}] },
      schedule: scheduleOf(chosen, { steps }),
      timestepAt: (_, { level }) => toldOf(level),
      combine: (output) => output,
      prepare: (generator, _, initialSigma) => ({ x: generator.randn([1, 3, height, width]).mul(initialSigma), channels }),
      preview: async (pictures) => ({ type: 'pictures', pictures }),
    })
    await done(network)
    return { type: 'pictures', pictures }
  },
})
