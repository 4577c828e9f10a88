import { ArgumentError } from '../../core/errors.ts'
import { takesSize } from '../../models/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { cleanCaption, plainCaption } from '../../text/index.ts'
import { transformerPart } from '../dit/transformer.ts'
import { covering } from '../images/bilinear.ts'
import { scheduler } from '../open/parts.ts'
import { type Page, page } from '../page.ts'
import { latentAutoencoder, latentCoder } from '../parts/autoencoder.ts'
import { type BatchEntry, denoiser } from '../parts/denoiser.ts'
import { type LoraOptions, withLoras } from '../parts/loras.ts'
import { t5Encoder, t5TextEncoder } from '../parts/t5-encoder.ts'
import { guidedBy } from '../sampling/guidance.ts'
import { sampleLatents } from '../sampling/run.ts'
import { scheduleOf } from '../sampling/schedule.ts'
import { classes, options, schedulerOf, sizesOf } from './options.ts'

/** Pictures from a prompt (Chen et al. 2024): diffusers' `PixArtAlphaPipeline` and `PixArtSigmaPipeline`. */
export const pixart: Page = page({
  classes: Object.keys(classes),
  output: 'pictures',
  parts: {
    text_encoder: t5TextEncoder('tokenizer'),
    transformer: transformerPart('PixArtTransformer2DModel'),
    vae: latentAutoencoder(),
    scheduler: scheduler(),
  },
  options,
  loads: ['vae', 'tiling', 'quantize', 'loras'] as (keyof LoraOptions & string)[],
  async open({ vae, scheduler, ...stored }, { source, load, compile, done }) {
    const { config, place } = stored.transformer
    const { in_channels: channels, caption_channels: width } = config
    const latents = latentCoder(vae, { ...compile, tiling: load.tiling })
    if (latents.channels !== channels)
      throw new ArgumentError(
        `${place}: the network has latents of ${channels} channels, and the autoencoder of ${latents.channels}`,
      )
    const { d_model: states } = stored.text_encoder.config
    if (width !== null && width !== states)
      throw new ArgumentError(`${place}: caption_channels is ${width}, and the text encoder's states have ${states} channels`)
    const merged = await withLoras(stored, load)
    const text = t5Encoder(merged.text_encoder, compile)
    const network = denoiser(
      merged.transformer,
      (run, { sample, timestep, context, contextMask, resolution, aspectRatio }) =>
        run(sample as never, timestep as never, { context: context as never, contextMask, resolution, aspectRatio }),
      compile,
      { quantize: load.quantize },
    )
    return {
      ...{ text, network, latents, scheduler, config, done, place },
      className: source.className as keyof typeof classes,
      async release() {
        await text.release()
        await network.release()
        await latents.release()
      },
    }
  },
  plan(model, settings) {
    const { asked, made } = sizesOf(model, settings)
    const { steps, guidance, maxLength, clean, eta } = settings
    const same = asked.height === made.height && asked.width === made.width
    return {
      className: model.className,
      settings: {
        Steps: steps,
        Sampler: schedulerOf(model, settings).className,
        'CFG scale': guidance,
        'Made at': same ? undefined : `${made.width}x${made.height}`,
        'Prompt tokens': maxLength,
        'Prompt cleaned': clean ? undefined : 'no',
        Eta: eta === 0 ? undefined : eta,
      },
    }
  },
  async *generate(model, { signal, ...settings }) {
    const { className, text, network, latents, config, done } = model
    const { prompt, negative, steps, guidance, seed, num, eta, clean, maxLength: length = classes[className].tokens } = settings
    const { asked, made } = sizesOf(model, settings)
    const chosen = schedulerOf(model, settings)
    const sizes = takesSize(config) && {
      resolution: NdArray.from([made.height, made.width], [1, 2]),
      aspectRatio: NdArray.from([made.height / made.width], [1, 1]),
    }
    const entry = async (words: string): Promise<BatchEntry> => {
      signal?.throwIfAborted()
      const { states, mask, left } = await text.encode((clean ? cleanCaption : plainCaption)(words), { length, masked: true })
      if (left > 0) console.warn(`the prompt is longer than ${length} tokens: its last ${left} were left; see --max-length`)
      return { context: states, contextMask: mask, ...sizes }
    }
    const entries = guidance > 1 ? [await entry(negative), await entry(prompt)] : [await entry(prompt)]
    await done(text)
    const guided = guidedBy(guidance)
    const pictures = async (z: NdArray<'f32'>) =>
      ({
        type: 'pictures',
        pictures: settings.binning ? covering(await latents.decode(z), asked) : await latents.decode(z),
      }) as const
    const shape = [1, config.in_channels, Math.floor(made.height / latents.factor), Math.floor(made.width / latents.factor)]
    const z = yield* sampleLatents({
      ...{ denoiser: network, scheduler: chosen, seed, num, signal, entries },
      schedule: scheduleOf(chosen, { steps, eta }),
      // Variances that it learned are no scheduler's here.
      combine: (output) => guided(output).slice(1, 0, config.in_channels),
      prepare: (generator, _, initialSigma) => ({ x: generator.randn(shape).mul(initialSigma) }),
      preview: pictures,
    })
    await done(network)
    const result = await pictures(z)
    await done(latents)
    return result
  },
})
