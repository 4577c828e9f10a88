import { ArgumentError } from '../../core/errors.ts'
import { concat } from '../../core/functions.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { Generator } from '../../runtime/random.ts'
import { asBatch, fitted, levelsOf } from '../images/fit.ts'
import { network, scheduler } from '../open/parts.ts'
import { type Page, page } from '../page.ts'
import { type BatchEntry, denoiser } from '../parts/denoiser.ts'
import { type LoraOptions, withLoras } from '../parts/loras.ts'
import { t5Encoder, t5TextEncoder } from '../parts/t5-encoder.ts'
import { videoCoder } from '../parts/video-autoencoder.ts'
import { guidedBy } from '../sampling/guidance.ts'
import { sampleLatents } from '../sampling/run.ts'
import { scheduleOf } from '../sampling/schedule.ts'
import { samplerIn, schedulerFor } from '../sampling/schedulers.ts'
import { filmOf } from '../video/options.ts'
import { classes, options, shapeOf, textLength } from './options.ts'

/** Films from a prompt, and from a first picture (Yang et al. 2024): diffusers' `CogVideoXPipeline` and `CogVideoXImageToVideoPipeline`. */
export const cogVideoX: Page = page({
  classes,
  output: 'frames',
  parts: {
    text_encoder: t5TextEncoder('tokenizer'),
    transformer: network(['CogVideoXTransformer3DModel']),
    vae: network(['AutoencoderKLCogVideoX']),
    scheduler: scheduler(),
  },
  options,
  loads: ['quantize', 'loras'] as (keyof LoraOptions & string)[],
  async open({ vae, scheduler, ...stored }, { source, load, compile, done }) {
    const { config, place } = stored.transformer
    const { d_model: states } = stored.text_encoder.config
    const className = source.className as (typeof classes)[number]
    const seen = vae.config.latent_channels * (className === 'CogVideoXImageToVideoPipeline' ? 2 : 1)
    if (config.in_channels !== seen)
      throw new ArgumentError(
        `${place}: in_channels is ${config.in_channels}; a ${className} with this autoencoder gives it ${seen}`,
      )
    if (config.text_embed_dim !== states)
      throw new ArgumentError(
        `${place}: text_embed_dim is ${config.text_embed_dim}, and the text encoder's states have ${states} channels`,
      )
    const merged = await withLoras(stored, load)
    const text = t5Encoder(merged.text_encoder, compile)
    const network = denoiser(
      merged.transformer,
      (run, { sample, timestep, context, image, offset }) =>
        run(image ? concat([sample as never, image], 2) : (sample as never), timestep as never, {
          context: context as never,
          offset,
        }),
      compile,
      { quantize: load.quantize },
    )
    const coder = videoCoder(vae, compile)
    return {
      ...{ text, network, coder, scheduler, config, vae: vae.config, done, place, className },
      async release() {
        for (const part of [text, network, coder]) await part.release()
      },
    }
  },
  plan(model, settings) {
    const { width, height, frames } = shapeOf(model, settings)
    const { steps, guidance, dynamic, fps = 8, maxLength } = settings
    const asked = settings.frames
    return {
      className: model.className,
      settings: {
        Steps: steps,
        ...samplerIn(schedulerFor(model.className, model.scheduler, settings.scheduler), settings.scheduler),
        'CFG scale': guidance,
        Size: `${width}x${height}`,
        Frames: asked ?? frames,
        FPS: fps,
        'Dynamic guidance': dynamic ? 'true' : undefined,
        'Prompt tokens': maxLength,
      },
      ...(asked !== undefined &&
        asked !== frames && { warnings: [`the film has ${frames} frames, not ${asked}: 9, 17, 25 and so on come out as asked`] }),
    }
  },
  async *generate(model, { signal, ...settings }) {
    const { text, network, coder, config, vae, className, done } = model
    const { prompt, negative, steps, guidance, seed, num, image, fps = 8 } = settings
    const { width, height, latentFrames, extra, factor } = shapeOf(model, settings)
    const chosen = schedulerFor(className, model.scheduler, settings.scheduler)
    const length = textLength(model, settings)
    const offset = config.ofs_embed_dim === null ? undefined : NdArray.from([2])
    const entry = async (words: string): Promise<BatchEntry> => {
      signal?.throwIfAborted()
      const { states, left } = await text.encode(words, { length, masked: false })
      if (left > 0) console.warn(`the prompt is longer than ${length} tokens: its last ${left} were left; see --max-length`)
      return { context: states, ...(offset && { offset }) }
    }
    const entries = guidance > 1 ? [await entry(negative), await entry(prompt)] : [await entry(prompt)]
    await done(text)
    const scale = vae.scaling_factor
    const channels = vae.latent_channels
    const shape = [1, latentFrames, channels, Math.floor(height / factor), Math.floor(width / factor)]
    const firsts: NdArray<'f32'>[] = []
    /** The picture's latents as a film's first frame, zeros behind it. */
    const first = async (generator: Generator) => {
      const pixels = asBatch(fitted(levelsOf(image as NdArray), { width, height })).reshape([1, 3, 1, height, width])
      const z = (await coder.encode(pixels, generator)).permute([0, 2, 1, 3, 4])
      const scaled = vae.invert_scale_latents ? z.div(scale) : z.mul(scale)
      const behind = NdArray.zeros([1, latentFrames - 1, ...shape.slice(2)], 'f32')
      return latentFrames === 1 ? scaled : NdArray.concat([scaled, behind], 1)
    }
    const film = async (z: NdArray<'f32'>) => {
      const films: NdArray<'f32'>[] = []
      for (let k = 0; k < (z.shape[0] as number); k++) {
        const latents = z
          .slice(0, k, k + 1)
          .slice(1, extra)
          .permute([0, 2, 1, 3, 4])
          .div(scale)
        films.push((await coder.decode(latents.cast('f32'))).permute([0, 2, 1, 3, 4]))
      }
      return filmOf(NdArray.concat(films), fps)
    }
    const weight = (t: number) =>
      settings.dynamic ? 1 + (guidance * (1 - Math.cos(Math.PI * ((steps - t) / steps) ** 5))) / 2 : guidance
    const z = yield* sampleLatents({
      ...{ denoiser: network, scheduler: chosen, seed, num, signal, entries },
      ...(image && { entriesAt: (_: number, picture: number) => entries.map((one) => ({ ...one, image: firsts[picture] })) }),
      schedule: scheduleOf(chosen, { steps }),
      combine: (output, t = 0) => guidedBy(weight(t))(output),
      async prepare(generator, _, initialSigma) {
        if (image) firsts.push(await first(generator))
        return { x: generator.randn(shape).mul(initialSigma) }
      },
      preview: film,
    })
    await done(network)
    const result = await film(z)
    await done(coder)
    return result
  },
})
