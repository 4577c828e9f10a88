import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import type { LatteConfig } from '../../models/index.ts'
import type { NdArray } from '../../runtime/ndarray.ts'
import { cleanCaption, plainCaption } from '../../text/index.ts'
import { network, scheduler } from '../open/parts.ts'
import { type Page, page } from '../page.ts'
import { type LatentCoder, latentAutoencoder, latentCoder } from '../parts/autoencoder.ts'
import { type BatchEntry, denoiser } from '../parts/denoiser.ts'
import { type LoraOptions, withLoras } from '../parts/loras.ts'
import { t5Encoder, t5TextEncoder } from '../parts/t5-encoder.ts'
import { guidedBy } from '../sampling/guidance.ts'
import { sampleLatents } from '../sampling/run.ts'
import { scheduleOf } from '../sampling/schedule.ts'
import { samplerIn, schedulerFor } from '../sampling/schedulers.ts'
import { checkSides, clean, decodeEach, eta, filmOf, filmOptions, guidanceOption } from '../video/options.ts'

const className = 'LattePipeline'
/** Tokens of a text. */
const LENGTH = 120

const options = z.object({
  ...filmOptions,
  ...{ guidance: guidanceOption.default(7.5), eta, clean },
  temporal: z.boolean().default(true).meta({ description: 'frames see each other; without it each is a picture of its own' }),
})
type Settings = z.output<typeof options>

/** Frames, and their size in pixels. @throws ArgumentError */
function shapeOf({ config, latents }: { config: LatteConfig; latents: LatentCoder }, settings: Settings) {
  const own = config.sample_size * latents.factor
  const { width = own, height = own, frames = config.video_length } = settings
  checkSides({ width, height }, Math.max(8, latents.factor * config.patch_size))
  if (settings.temporal && frames !== 1 && frames !== config.video_length)
    throw new ArgumentError(`frames: the model makes films of ${config.video_length} frames, or of one; got ${frames}`)
  return { width, height, frames, fps: settings.fps ?? 8 }
}

/** Films from a prompt (Ma et al. 2024): diffusers' `LattePipeline`. */
export const latte: Page = page({
  classes: [className],
  output: 'frames',
  parts: {
    text_encoder: t5TextEncoder('tokenizer'),
    transformer: network(['LatteTransformer3DModel']),
    vae: latentAutoencoder(),
    scheduler: scheduler(),
  },
  options,
  loads: ['vae', 'tiling', 'quantize', 'loras'] as (keyof LoraOptions & string)[],
  async open({ vae, scheduler, ...stored }, { load, compile, done }) {
    const { config, place } = stored.transformer
    const latents = latentCoder(vae, { ...compile, tiling: load.tiling })
    const { d_model: states } = stored.text_encoder.config
    if (latents.channels !== config.in_channels)
      throw new ArgumentError(
        `${place}: the network has latents of ${config.in_channels} channels, and the autoencoder of ${latents.channels}`,
      )
    if (config.caption_channels !== states)
      throw new ArgumentError(
        `${place}: caption_channels is ${config.caption_channels}, and the text encoder's states have ${states} channels`,
      )
    const merged = await withLoras(stored, load)
    const text = t5Encoder(merged.text_encoder, compile)
    const made = (temporal: boolean) =>
      denoiser(
        merged.transformer,
        (run, { sample, timestep, context }) => run(sample as never, timestep as never, { context: context as never, temporal }),
        compile,
        { quantize: load.quantize },
      )
    const [network, still] = [made(true), made(false)]
    return {
      ...{ text, network, still, latents, scheduler, config, done, place },
      async release() {
        for (const part of [text, network, still, latents]) await part.release()
      },
    }
  },
  plan(model, settings) {
    const { width, height, frames, fps } = shapeOf(model, settings)
    return {
      className,
      settings: {
        Steps: settings.steps,
        ...samplerIn(schedulerFor(className, model.scheduler, settings.scheduler), settings.scheduler),
        'CFG scale': settings.guidance,
        Size: `${width}x${height}`,
        Frames: frames,
        FPS: fps,
        'Prompt cleaned': settings.clean ? undefined : 'no',
        'Temporal attention': settings.temporal ? undefined : 'no',
        Eta: settings.eta === 0 ? undefined : settings.eta,
      },
    }
  },
  async *generate(model, { signal, ...settings }) {
    const { text, latents, config, done } = model
    const { prompt, negative, steps, guidance, seed, num } = settings
    const { width, height, frames, fps } = shapeOf(model, settings)
    const chosen = schedulerFor(className, model.scheduler, settings.scheduler)
    const encoded = async (words: string) => {
      signal?.throwIfAborted()
      const found = await text.encode((settings.clean ? cleanCaption : plainCaption)(words), { length: LENGTH, masked: true })
      if (found.left > 0) console.warn(`the prompt is longer than ${LENGTH} tokens: its last ${found.left} were left`)
      return found
    }
    const { states, mask } = await encoded(prompt)
    // As diffusers: of one film the text is cut to its length, and so is the negative; of several, padding becomes zeros.
    const kept = num === 1 ? Number(mask.cast('f32').sum().item()) : LENGTH
    const own: BatchEntry = { context: num === 1 ? states.slice(1, 0, kept) : states.mul(mask.cast('f32').reshape([1, -1, 1])) }
    const entries = guidance > 1 ? [{ context: (await encoded(negative)).states.slice(1, 0, kept) }, own] : [own]
    await done(text)
    const network = settings.temporal ? model.network : model.still
    const shape = [1, config.in_channels, frames, height / latents.factor, width / latents.factor]
    const film = async (z: NdArray<'f32'>) => filmOf(await decodeEach(z, latents.decode), fps)
    const guided = guidedBy(guidance)
    const learned = /^learned/.test(String(chosen.options.variance_type))
    const z = yield* sampleLatents({
      ...{ denoiser: network, scheduler: chosen, seed, num, signal, entries },
      schedule: scheduleOf(chosen, { steps, eta: settings.eta }),
      combine: (output) => (learned ? guided(output) : guided(output).slice(1, 0, config.in_channels)),
      prepare: (generator, _, initialSigma) => ({ x: generator.randn(shape).mul(initialSigma) }),
      preview: film,
    })
    await done(network)
    const result = await film(z)
    await done(latents)
    return result
  },
})
