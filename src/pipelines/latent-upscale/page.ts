import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { asGivenOrFitted, levelsOf, sizeOfPicture, wholeLatents } from '../images/fit.ts'
import { nearestDoubled } from '../images/nearest.ts'
import { network, scheduler } from '../open/parts.ts'
import { numOption, schedulerOption, seedOption, stepsOption } from '../options.ts'
import { type LoadOptions, type Page, page } from '../page.ts'
import { latentAutoencoder, latentCoder } from '../parts/autoencoder.ts'
import { type BatchEntry, denoiser } from '../parts/denoiser.ts'
import { clipTextEncoder, textEncoder } from '../parts/text-encoder.ts'
import { traceUnet } from '../parts/unet.ts'
import { sampleLatents } from '../sampling/run.ts'
import { scheduleOf } from '../sampling/schedule.ts'
import { samplerIn, schedulerFor } from '../sampling/schedulers.ts'
import { denoisedBy, networkTime } from './preconditioning.ts'

const className = 'StableDiffusionLatentUpscalePipeline'
const options = z.object({
  prompt: z.string().meta({ description: 'what the picture shows' }),
  negative: z.string().optional().meta({ description: 'what it does not show' }),
  steps: stepsOption.default(75),
  guidance: z.number().default(9).meta({ description: 'how strongly the prompt guides; 1 or less is not at all' }),
  seed: seedOption,
  num: numOption,
  scheduler: schedulerOption,
  image: z.instanceof(NdArray).optional().meta({ media: 'picture', description: 'the picture to enlarge' }),
  /** The latents to enlarge, [1, C, h, w], as the model's own denoiser knows them, in place of a picture. */
  lowResLatents: z.instanceof(NdArray).optional().meta({ apart: true }),
})

/** The noise that is added to the given latents, which is none, as the network is told it: 64 cosines and 64 sines. */
const noNoise = [...Array<number>(64).fill(1), ...Array<number>(64).fill(0)]

/** @throws ArgumentError for latents that the network cannot halve as often as it does */
function checkSize(
  [, , H = 0, W = 0]: readonly number[],
  { block_out_channels: { length } }: { readonly block_out_channels: readonly number[] },
  factor: number,
): void {
  const unit = 2 ** (length - 1)
  if (H % unit === 0 && W % unit === 0) return
  const [size, given] = [`multiples of ${(unit * factor) / 2}`, `${(W * factor) / 2} × ${(H * factor) / 2}`]
  throw new ArgumentError(`image: its sides must be ${size} pixels for this network, and it has ${given}`)
}

/** Pictures twice as large, by a network that sees their latents (Crowson 2022): diffusers' `StableDiffusionLatentUpscalePipeline`. */
export const latentUpscale: Page = page({
  classes: [className],
  output: 'pictures',
  parts: {
    text_encoder: clipTextEncoder('tokenizer', ['CLIPTextModel']),
    unet: network(['UNet2DConditionModel']),
    vae: latentAutoencoder(),
    scheduler: scheduler(),
  },
  options,
  loads: ['vae', 'tiling'] as (keyof LoadOptions & string)[],
  open({ text_encoder, unet, vae, scheduler }, { load, compile, done }) {
    const latents = latentCoder(vae, { ...compile, tiling: load.tiling })
    const { in_channels: inputs, out_channels: outputs, time_cond_proj_dim: told } = unet.config
    const { channels } = latents
    const width = text_encoder.config.hidden_size + noNoise.length
    if (inputs !== 2 * channels || outputs !== channels + 1 || told !== width)
      throw new ArgumentError(
        `${unet.place}: in_channels, out_channels and time_cond_proj_dim are ${inputs}, ${outputs} and ${told}; ` +
          `with this autoencoder and text encoder they must be ${2 * channels}, ${channels + 1} and ${width}`,
      )
    const text = textEncoder(text_encoder, compile)
    const working = denoiser(unet, traceUnet, compile)
    return {
      ...{ text, network: working, latents, scheduler, done },
      async release() {
        for (const part of [text, working, latents]) await part.release()
      },
    }
  },
  plan(model, { steps, guidance, image, lowResLatents, scheduler: chosen }) {
    if (!image === !lowResLatents) throw new ArgumentError('image: give the picture to enlarge')
    const found = schedulerFor(className, model.scheduler, chosen)
    return {
      className,
      ...(found.warnings.length > 0 && { warnings: found.warnings }),
      settings: { Steps: steps, ...samplerIn(found, chosen), 'CFG scale': guidance },
    }
  },
  async *generate(model, settings) {
    const { text, network, latents, done } = model
    const { prompt, negative = '', steps, guidance, seed, num, signal, image, lowResLatents } = settings
    if (!image === !lowResLatents) throw new ArgumentError('image: give the picture to enlarge')
    const { channels } = latents
    if (
      lowResLatents &&
      (lowResLatents.shape.length !== 4 || lowResLatents.shape[0] !== 1 || lowResLatents.shape[1] !== channels)
    )
      throw new ArgumentError(`lowResLatents: expected [1, ${channels}, h, w], got [${lowResLatents.shape.join(', ')}]`)
    const chosen = schedulerFor(className, model.scheduler, settings.scheduler)
    const entry = async (words: string): Promise<BatchEntry> => {
      signal?.throwIfAborted()
      const ids = text.tokenizer.frame(text.tokenizer.encode(words))
      const { states, pooled } = await text.encode([{ ids, weights: ids.map(() => 1) }], { skip: 0, norm: false, end: true })
      return {
        context: states,
        timestepCondition: NdArray.concat([NdArray.from(noNoise, [1, noNoise.length]), pooled as never], 1),
      }
    }
    // A guidance of 0 leaves the prompt out, in diffusers too.
    const positive = await entry(guidance === 0 ? '' : prompt)
    const entries = guidance > 1 ? [await entry(negative), positive] : [positive]
    await done(text)
    const pixels =
      image && asGivenOrFitted(image, { ...wholeLatents(sizeOfPicture(levelsOf(image)), latents.factor), kernel: 'bicubic' })
    const pictures = async (z: NdArray<'f32'>) => ({ type: 'pictures', pictures: await latents.decode(z) }) as const
    const z = yield* sampleLatents({
      ...{ denoiser: network, scheduler: chosen, seed, num, signal, entries },
      schedule: scheduleOf(chosen, { steps }),
      timestepAt: (_, { level }) => networkTime(level),
      combine: denoisedBy(guidance, channels),
      async prepare(generator, _, initialSigma) {
        const small = lowResLatents?.cast('f32') ?? (await latents.encode(pixels as NdArray<'f32'>, generator))
        const seen = nearestDoubled(small)
        checkSize(seen.shape, network.config as { readonly block_out_channels: readonly number[] }, latents.factor)
        return { x: generator.randn(seen.shape).mul(initialSigma), channels: seen }
      },
      preview: pictures,
    })
    await done(network)
    const result = await pictures(z)
    await done(latents)
    return result
  },
})
