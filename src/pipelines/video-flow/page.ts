import { ArgumentError } from '../../core/errors.ts'
import { onFilms } from '../../models/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { asGivenOrFitted } from '../images/fit.ts'
import { network, scheduler } from '../open/parts.ts'
import { type Page, page } from '../page.ts'
import { denoiser } from '../parts/denoiser.ts'
import { t5TextEncoder } from '../parts/t5-encoder.ts'
import { clipTextEncoder } from '../parts/text-encoder.ts'
import { videoCoder } from '../parts/video-autoencoder.ts'
import { guidedBy } from '../sampling/guidance.ts'
import { sampleLatents } from '../sampling/run.ts'
import { scheduleOf } from '../sampling/schedule.ts'
import { samplerIn, schedulerFor } from '../sampling/schedulers.ts'
import { filmOf } from '../video/options.ts'
import { fittedFilm, givenFrames } from './given.ts'
import { options, shapeOf } from './options.ts'
import { videoTexts } from './texts.ts'

const className = 'VideoFlowPipeline'
/** Films and pictures from a prompt, by a transformer of spacetime patches and rectified flow: what `langevin train stickers-video` makes. */
export const videoFlow: Page = page({
  classes: [className],
  output: 'frames',
  parts: {
    text_encoder: clipTextEncoder('tokenizer', ['CLIPTextModelWithProjection']),
    text_encoder_2: t5TextEncoder('tokenizer_2'),
    transformer: network(['VideoDiTModel']),
    vae: network(['CausalVideoVAE']),
    scheduler: scheduler(),
  },
  options,
  loads: ['quantize'],
  open({ text_encoder, text_encoder_2, transformer, vae, scheduler }, { load, compile, done }) {
    const { config, place } = transformer
    if (config.in_channels !== vae.config.latent_channels)
      throw new ArgumentError(
        `${place}: the network has latents of ${config.in_channels} channels, and the autoencoder of ${vae.config.latent_channels}`,
      )
    const texts = videoTexts({ clip: text_encoder, t5: text_encoder_2, width: config.joint_attention_dim }, compile)
    const network = denoiser(
      transformer,
      (run, { sample, timestep, context, pooled, rate, given }) =>
        onFilms(run, config)(sample as never, timestep as never, { context, pooled, rate, given } as never),
      compile,
      { quantize: load.quantize },
    )
    const coder = videoCoder(vae, compile)
    return {
      ...{ texts, network, coder, scheduler, config, vae: vae.config, done },
      async release() {
        for (const part of [texts, network, coder]) await part.release()
      },
    }
  },
  plan(model, settings) {
    const { width, height, frames, fps, overlap } = shapeOf(model, settings)
    return {
      className,
      settings: {
        Steps: settings.steps,
        ...samplerIn(schedulerFor(className, model.scheduler, settings.scheduler), settings.scheduler),
        'CFG scale': settings.guidance,
        Size: `${width}x${height}`,
        Frames: frames,
        FPS: fps,
        'Gone on from': overlap > 0 ? `${settings.extend?.shape[0]} frames` : undefined,
      },
    }
  },
  async *generate(model, { signal, ...settings }) {
    const { texts, network, coder, vae, done } = model
    const { prompt, negative, steps, guidance, seed, num, image, last, extend } = settings
    const { width, height, frames, fps, latentFrames, overlap, latents } = shapeOf(model, settings)
    const chosen = schedulerFor(className, model.scheduler, settings.scheduler)
    const shown = (one: NdArray | undefined) => one && asGivenOrFitted(one, { width, height })
    const before = extend && fittedFilm(extend, { width, height })
    const start = before ? before.slice(0, (before.shape[0] as number) - overlap) : shown(image)
    const known = await givenFrames(coder, { start, last: shown(last) }, { latentFrames, vae })
    const of = async (words: string) => ({ ...(await texts.encode(words)), rate: NdArray.from([fps]), given: known.given })
    const entries = guidance > 1 ? [await of(negative), await of(prompt)] : [await of(prompt)]
    await done(texts)
    const film = async (z: NdArray<'f32'>) => {
      const films: NdArray<'f32'>[] = []
      for (let k = 0; k < (z.shape[0] as number); k++) {
        const decoded = await coder.decode(
          z
            .slice(0, k, k + 1)
            .div(vae.scaling_factor)
            .cast('f32'),
        )
        const own = decoded.permute([0, 2, 1, 3, 4]).slice(1, overlap, frames)
        films.push(before ? NdArray.concat([before.reshape([1, ...before.shape]), own], 1) : own)
      }
      return filmOf(NdArray.concat(films), fps)
    }
    const z = yield* sampleLatents({
      ...{ denoiser: network, scheduler: chosen, seed, num, signal, entries },
      schedule: scheduleOf(chosen, { steps }),
      combine: guidedBy(guidance),
      prepare: (generator, _, initialSigma) => ({
        x: known.keep(generator.randn(latents).mul(initialSigma)),
        blend: (x) => known.keep(x as NdArray<'f32'>),
        postprocess: known.keep,
      }),
      preview: film,
    })
    await done(network)
    const result = await film(z)
    await done(coder)
    return result
  },
})
