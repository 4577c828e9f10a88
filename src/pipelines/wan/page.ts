import { z } from 'zod'
import { ArgumentError } from '../../core/errors.ts'
import type { WanConfig, WanVaeConfig } from '../../models/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { unescapeText } from '../../text/index.ts'
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
import { checkSides, filmOf, filmOptions, guidanceOption, maxLengthOption } from '../video/options.ts'

const className = 'WanPipeline'
const LENGTH = 512

const options = z.object({ ...filmOptions, guidance: guidanceOption.default(5), maxLength: maxLengthOption })
type Settings = z.output<typeof options>

/** Sizes down to whole patches, and frames to whole latent ones, as diffusers rounds them. @throws ArgumentError */
function shapeOf({ config, vae }: { config: WanConfig; vae: WanVaeConfig }, settings: Settings) {
  const [factor, ratio] = [vae.scale_factor_spatial ?? 8, vae.scale_factor_temporal ?? 4]
  const { width = 832, height = 480, frames: asked = 81, fps = 16 } = settings
  checkSides({ width, height }, 16)
  const [, ph, pw] = config.patch_size
  const whole = (n: number, unit: number) => Math.floor(n / unit) * unit
  const frames = asked % ratio === 1 ? asked : Math.max(1, whole(asked, ratio) + 1)
  return {
    ...{ asked, frames, fps, factor, latentFrames: Math.floor((frames - 1) / ratio) + 1 },
    ...{ width: whole(width, factor * pw), height: whole(height, factor * ph) },
  }
}

/** Films from a prompt (Wan Team 2025): diffusers' `WanPipeline`, with the folders of Wan 2.1. */
export const wan: Page = page({
  classes: [className],
  output: 'frames',
  parts: {
    text_encoder: t5TextEncoder('tokenizer'),
    transformer: network(['WanTransformer3DModel']),
    vae: network(['AutoencoderKLWan']),
    scheduler: scheduler(),
  },
  options,
  loads: ['quantize', 'loras'] as (keyof LoraOptions & string)[],
  async open({ vae, scheduler, ...stored }, { source, load, compile, done }) {
    const { config, place } = stored.transformer
    const { boundary_ratio: boundary, expand_timesteps: expand } = source.fields
    if ((boundary !== undefined && boundary !== null) || expand === true || source.has('transformer_2'))
      throw new ArgumentError(
        `${source.place}: two transformers, or a timestep for each token, are Wan 2.2's; Wan 2.1's folders can be opened`,
      )
    const { d_model: states } = stored.text_encoder.config
    if (config.text_dim !== states)
      throw new ArgumentError(`${place}: text_dim is ${config.text_dim}, and the text encoder's states have ${states} channels`)
    if (config.in_channels !== vae.config.z_dim)
      throw new ArgumentError(
        `${place}: the network has latents of ${config.in_channels} channels, and the autoencoder of ${vae.config.z_dim}`,
      )
    const merged = await withLoras(stored, load)
    const text = t5Encoder(merged.text_encoder, compile)
    const network = denoiser(
      merged.transformer,
      (run, { sample, timestep, context }) => run(sample as never, timestep as never, { context: context as never }),
      compile,
      { quantize: load.quantize },
    )
    const coder = videoCoder(vae, compile)
    return {
      ...{ text, network, coder, scheduler, config, vae: vae.config, done },
      async release() {
        for (const part of [text, network, coder]) await part.release()
      },
    }
  },
  plan(model, settings) {
    const { width, height, frames, asked, fps } = shapeOf(model, settings)
    return {
      className,
      settings: {
        Steps: settings.steps,
        ...samplerIn(schedulerFor(className, model.scheduler, settings.scheduler), settings.scheduler),
        'CFG scale': settings.guidance,
        Size: `${width}x${height}`,
        Frames: frames,
        FPS: fps,
        'Prompt tokens': settings.maxLength,
      },
      ...(asked !== frames && { warnings: [`the film has ${frames} frames, not ${asked}: one, and then four at a time`] }),
    }
  },
  async *generate(model, { signal, ...settings }) {
    const { text, network, coder, vae, config, done } = model
    const { prompt, negative, steps, guidance, seed, num, maxLength: length = LENGTH } = settings
    const { width, height, latentFrames, factor, fps } = shapeOf(model, settings)
    const chosen = schedulerFor(className, model.scheduler, settings.scheduler)
    const entry = async (words: string): Promise<BatchEntry> => {
      signal?.throwIfAborted()
      const plain = unescapeText(words).replaceAll(/\s+/g, ' ').trim()
      const { states, mask, left } = await text.encode(plain, { length, masked: true })
      if (left > 0) console.warn(`the prompt is longer than ${length} tokens: its last ${left} were left; see --max-length`)
      // What stands behind the text is seen too, as zeros.
      return { context: states.mul(mask.cast('f32').reshape([1, -1, 1])) }
    }
    const entries = guidance > 1 ? [await entry(negative), await entry(prompt)] : [await entry(prompt)]
    await done(text)
    const [mean, std] = [vae.latents_mean, vae.latents_std].map((values) => NdArray.from(values, [1, vae.z_dim, 1, 1, 1]))
    const film = async (z: NdArray<'f32'>) => {
      const films: NdArray<'f32'>[] = []
      for (let k = 0; k < (z.shape[0] as number); k++) {
        const latents = z
          .slice(0, k, k + 1)
          .mul(std as NdArray)
          .add(mean as NdArray)
        films.push((await coder.decode(latents.cast('f32'))).permute([0, 2, 1, 3, 4]))
      }
      return filmOf(NdArray.concat(films), fps)
    }
    const shape = [1, config.in_channels, latentFrames, Math.floor(height / factor), Math.floor(width / factor)]
    const z = yield* sampleLatents({
      ...{ denoiser: network, scheduler: chosen, seed, num, signal, entries },
      schedule: scheduleOf(chosen, { steps }),
      combine: guidedBy(guidance),
      prepare: (generator) => ({ x: generator.randn(shape) }),
      preview: film,
    })
    await done(network)
    const result = await film(z)
    await done(coder)
    return result
  },
})
